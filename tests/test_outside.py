"""Subjects of other installed distributions: found, run, and refused with one line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from called import called

from conformance.axes import models, outside, registry
from conformance.axes.base import Family, Size, Subject
from conformance.case import all_cases, default_cases
from conformance.errors import UnavailableError, UsageError
from conformance.report.repro.parts import Parts
from conformance.versions.uv import find_uv

HEAD = "from conformance.axes.base import Family, Size, Subject\n"
SUBJECT = """
def inputs(config, seed):
    import torch
    generator = torch.Generator("cpu").manual_seed(seed)
    return {"hidden_states": torch.randn(1, 8, 32, generator=generator, dtype=torch.bfloat16)}

MIXER = Family("mixer", "mixers.model:Mixer", inputs, extra=True)
ONE = Subject(
    "mixer-tiny", MIXER, Size.TINY, 2112, ("int8wo",), ("pickle",), config={"hidden": 32}
)
"""
MODEL = """
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

class Mixer(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self, hidden):
        super().__init__()
        self.first, self.second = torch.nn.Linear(32, hidden), torch.nn.Linear(hidden, 32)

    def forward(self, hidden_states, return_dict=True):
        return (self.second(self.first(hidden_states)),)
"""

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Build and install a distribution `mixers` with the real installer, and put it on the path."""
    site = tmp_path / "site"

    def install(source: str, value: str = "mixers.subjects:ONE") -> Path:
        package = tmp_path / "project" / "src" / "mixers"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.py").write_text(MODEL)
        (package / "subjects.py").write_text(source)
        (tmp_path / "project" / "pyproject.toml").write_text(f"""
[build-system]
requires = ["uv_build>=0.5"]
build-backend = "uv_build"
[project]
name = "mixers"
version = "1.0"
[project.entry-points."{outside.GROUP}"]
mine = "{value}"
""")
        command = [find_uv().binary, "pip", "install", "--quiet", "--offline", "--no-deps"]
        where = ["--python", sys.executable, "--target", str(site)]
        subprocess.run([*command, *where, str(tmp_path / "project")], check=True)
        return site

    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    before = set(sys.modules)
    _forget()
    yield install
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "mixers":
            del sys.modules[name]
    _forget()


def _forget() -> None:
    registry.subjects.cache_clear()
    all_cases.cache_clear()


def test_nothing_is_installed_that_declares_subjects() -> None:
    assert outside.subjects({}) == {}


def test_a_subject_of_another_distribution_is_there(install: Install) -> None:
    before = list(registry.subjects())
    install(HEAD + SUBJECT)
    _forget()
    assert list(registry.subjects()) == [*before, "mixer-tiny"]
    ids = [case for case in all_cases() if case.startswith("mixer-tiny.") and case.endswith(".cpu")]
    assert ids == [
        "mixer-tiny.int8wo.quantize_.pickle.cpu",
        "mixer-tiny.int8wo.torchao-config.pickle.cpu",
    ]
    assert not [case for case in default_cases() if case.subject.name == "mixer-tiny"]


def test_several_subjects_are_one_entry_point(install: Install) -> None:
    two = "TWO = Subject('mixer-wide', MIXER, Size.TINY, 1, config={})\nSUBJECTS = (ONE, TWO)\n"
    install(HEAD + SUBJECT + two, "mixers.subjects:SUBJECTS")
    assert list(outside.subjects({})) == ["mixer-tiny", "mixer-wide"]


def test_naming_its_cases_imports_no_torch(install: Install) -> None:
    install(HEAD + SUBJECT)
    code = (
        "import sys; from conformance.case import all_cases; print(len([c for c in all_cases() "
        "if c.startswith('mixer-')]), {'torch', 'diffusers', 'torchao'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "8 set()\n"


@pytest.mark.slow
def test_its_cases_are_run(install: Install, tmp_path: Path) -> None:
    install(HEAD + SUBJECT)
    command = [sys.executable, "-m", "conformance.cli", "run", "--select", "mixer-tiny.*.cpu"]
    ran = subprocess.run(
        [*command, "--results", "mixer.jsonl"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr.count("harness error")) == (0, 0)
    assert "2 of 2 cases were measured; all are as expected" in ran.stdout


WRONG = {
    "cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing'": (
        "import no_such_thing\n",
        "mixers.subjects:ONE",
    ),
    "cannot be loaded: SyntaxError": ("ONE = = 1\n", "mixers.subjects:ONE"),
    "cannot be loaded: AttributeError": (HEAD, "mixers.subjects:NONE"),
    "names 5, which is no conformance.axes.base.Subject": ("ONE = 5\n", "mixers.subjects:ONE"),
    "names 'ab', which is no conformance.axes.base.Subject": (
        "ONE = ['ab']\n",
        "mixers.subjects:ONE",
    ),
    "declares flux-tiny, which is taken": (
        HEAD + SUBJECT.replace('"mixer-tiny"', '"flux-tiny"'),
        "mixers.subjects:ONE",
    ),
    "declares the family flux, which is taken": (
        HEAD + SUBJECT.replace('"mixer"', '"flux"'),
        "mixers.subjects:ONE",
    ),
    "declares 'a.b', which cannot be a segment of a case id": (
        HEAD + SUBJECT.replace('"mixer-tiny"', '"a.b"'),
        "mixers.subjects:ONE",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_broken_entry_point_is_one_line(install: Install, what: str, tmp_path: Path) -> None:
    source, value = WRONG[what]
    install(source, value)
    said = called("list", where=tmp_path)
    start = f"the entry point mine = {value} of mixers {what}"
    assert (said.returncode, said.stdout) == (2, "")
    line = " ".join(said.stderr.split())
    assert line.startswith(f"conformance: {start}")
    assert line.endswith("mend it there, or uninstall mixers")


@pytest.mark.thorough
def test_pytest_says_the_same_line(install: Install, tmp_path: Path) -> None:
    install("import no_such_thing\n")
    command = [sys.executable, "-m", "pytest", "--pyargs", "conformance", "--collect-only"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [each for each in said.stderr.splitlines() if "entry point" in each]
    assert line.startswith("ERROR: the entry point mine = mixers.subjects:ONE of mixers cannot be")


def test_a_config_of_its_own_is_not_changed_by_who_asks() -> None:
    subject = Subject(
        "x-tiny", registry.subjects()["flux-tiny"].family, Size.TINY, 1, config={"a": [1]}
    )
    models.model_config(subject)["a"].append(2)
    assert models.model_config(subject) == {"a": [1]}


@pytest.mark.parametrize(
    ("model_class", "module", "name"),
    [
        ("FluxTransformer2DModel", "diffusers", "FluxTransformer2DModel"),
        ("mixers.model:Mixer", "mixers.model", "Mixer"),
    ],
)
def test_a_class_is_looked_up_in_its_module(model_class: str, module: str, name: str) -> None:
    family = Family("x", model_class, dict)
    assert (family.module, family.class_name) == (module, name)
    repro = SimpleNamespace(
        case=SimpleNamespace(subject=SimpleNamespace(family=family)),
        names=SimpleNamespace(model=family.class_name),
    )
    assert Parts(repro)._model == (module, name)  # type: ignore[arg-type]


def test_a_class_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"^json\.decoder has no Mixer$"):
        Family("x", "json.decoder:Mixer", dict).load_class()


def test_a_usage_error_keeps_its_cause(install: Install) -> None:
    install("import no_such_thing\n")
    with pytest.raises(UsageError) as caught:
        outside.subjects({})
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
