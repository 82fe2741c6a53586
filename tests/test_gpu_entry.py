"""The entry for a machine with CUDA: all of it but CUDA, with stand-ins for torch and the suite."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from shell_entries import Ended, run_entry

ROOT = Path(__file__).parents[1]
ENTRY = ROOT / "ci" / "gpu.sh"

CONFORMANCE = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
codes = json.loads(os.environ.get("CODES", "{{}}"))
named = [each for each in arguments if each in codes]
print("this is what it printed:", *arguments[:1])
sys.exit(codes[named[0]] if named else 0)
"""
TORCH = """
__version__ = "2.11.0+cu130"

class cuda:
    is_available = staticmethod(lambda: {gpus} > 0)
    device_count = staticmethod(lambda: {gpus})
"""
PYTHON = """#!/bin/bash
# Tells the arguments; makes a virtual environment of itself, and installs nothing.
printf '%s\\n' "$*" >>"$PIP_CALLS"
case "$*" in
  "-m venv"*)
    bin=${{!#}}/bin
    mkdir -p "$bin" && cp "$0" "$bin/python" && cp "$(dirname "$0")/conformance" "$bin/" ;;
  "-m pip"*)
    while [[ $1 != -c ]]; do shift; done
    cp "$2" "$PINS"; exit "${{PIP_CODE:-0}}" ;;
  *) exec {python} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A directory to stand in, with stand-ins beside it."""

    place: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> Ended:
        calls = self.place / "calls"
        calls.write_text("")
        given = {**self.variables, "CALLS": str(calls), **variables}
        return run_entry([str(ENTRY), *arguments], self.place, given, calls)


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def machine(place: Path, gpus: int) -> Machine:
    (place / "bin").mkdir()
    (place / "modules").mkdir()
    (place / "modules" / "torch.py").write_text(TORCH.format(gpus=gpus))
    executable(place / "bin" / "conformance", CONFORMANCE.format(python=sys.executable))
    executable(place / "bin" / "fake-python", PYTHON.format(python=sys.executable))
    return Machine(
        place,
        {
            "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(place / "modules"),
            "PYTHON": "fake-python",
            "PIP_CALLS": str(place / "pip-calls"),
            "PINS": str(place / "pins"),
        },
    )


@pytest.fixture
def with_gpus(tmp_path: Path) -> Machine:
    return machine(tmp_path, gpus=2)


def test_every_part_is_run_and_a_table_comes_last(with_gpus: Machine) -> None:
    ended = with_gpus.run("--installed")
    assert ended.code == 0
    runs = [call for call in ended.calls if call[0] == "run"]
    assert runs[0] == [
        *("run", "--marker", "gpu", "--marker", "tiny", "-n", "2"),
        *("--results", "conformance-gpu/tiny.jsonl"),
    ]
    assert runs[2][-2:] == ["--pictures", "conformance-gpu/pictures"]
    assert ended.calls[-1] == [
        *("bench", "model", "flux-schnell", "--device", "cuda", "--compile"),
        *("--results", "conformance-gpu/bench.json", "--plot", "conformance-gpu/bench.svg"),
    ]
    *_, head, env, tiny, small, pipeline, bench, last = ended.stdout.splitlines()
    assert head.split() == ["part", "exit", "seconds"]
    rows = [each.split()[:2] for each in (env, tiny, small, pipeline, bench)]
    assert rows == [[name, "0"] for name in ("env", "tiny", "small", "pipeline", "bench")]
    assert last == "results: conformance-gpu"
    kept = (with_gpus.place / "conformance-gpu" / "tiny.txt").read_text()
    assert kept == "this is what it printed: run\n"


def test_large_models_are_run_one_at_a_time_on_each_gpu(with_gpus: Machine) -> None:
    ended = with_gpus.run("--installed", "--sizes", "small,full", "--workers", "8", "--no-bench")
    engines = [call[call.index("-n") + 1] for call in ended.calls if call[0] == "run"]
    assert engines == ["8", "2"]
    assert "bench" not in {call[0] for call in ended.calls}


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ({"tiny": 1, "small": 3}, 1),
        ({"tiny": 3, "small": 1}, 1),
        ({"bench": 3}, 3),
        ({"small": 139}, 3),
        ({"small": 2, "pipeline": 0}, 3),
    ],
)
def test_the_worst_part_decides(with_gpus: Machine, codes: dict[str, int], code: int) -> None:
    assert with_gpus.run("--installed", CODES=json.dumps(codes)).code == code


def test_without_a_gpu_nothing_is_installed_or_run(tmp_path: Path) -> None:
    ended = machine(tmp_path, gpus=0).run()
    assert (ended.code, ended.calls) == (3, [])
    assert ended.stderr == (
        "gpu.sh: inconclusive: torch 2.11.0+cu130 sees no CUDA device; nothing was run\n"
    )
    assert "pip" not in (tmp_path / "pip-calls").read_text()


def test_without_torch_it_says_so(with_gpus: Machine) -> None:
    (with_gpus.place / "modules" / "torch.py").write_text("raise ImportError('no torch')")
    ended = with_gpus.run("--installed")
    assert ended.code == 3
    assert "install one for this machine's CUDA" in ended.stderr


def test_the_torch_of_the_machine_stays_and_the_rest_is_pinned(with_gpus: Machine) -> None:
    (with_gpus.place / "wheels").mkdir()
    ended = with_gpus.run("--wheels", "wheels", "--sizes", "tiny", "--no-bench")
    assert ended.code == 0, ended.stderr
    pins = (with_gpus.place / "pins").read_text().splitlines()
    assert [each for each in pins if each.startswith("torch==")] == ["torch==2.11.0+cu130"]
    assert "torchao==0.18.0" in pins
    assert len(pins) == len((ROOT / "ci" / "constraints.txt").read_text().splitlines())
    (install,) = (e for e in (with_gpus.place / "pip-calls").read_text().splitlines() if "pip" in e)
    assert "--no-index --find-links wheels" in install
    assert install.endswith(f"{ROOT}[pipelines,plot]")
    venv = (with_gpus.place / "pip-calls").read_text().splitlines()[1]
    assert venv.startswith("-m venv --system-site-packages ")


def test_what_cannot_be_installed_is_inconclusive(with_gpus: Machine) -> None:
    ended = with_gpus.run(PIP_CODE="1")
    assert (ended.code, ended.calls) == (3, [])
    assert "cannot be installed" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--sizes", "huge"], "tiny, small, pipeline and full"),
        (["--workers", "0"], "no number of workers"),
        (["--wheels", "nowhere"], "no folder 'nowhere'"),
        (["--fast"], "no option --fast"),
        (["--results"], "wants a value"),
    ],
)
def test_a_wrong_call_is_one_line_with_the_mend(
    with_gpus: Machine, arguments: list[str], word: str
) -> None:
    ended = with_gpus.run(*arguments)
    assert (ended.code, ended.calls) == (2, [])
    assert word in ended.stderr
    assert ended.stderr.endswith("ci/gpu.sh --help shows how\n")
    assert len(ended.stderr.splitlines()) == 1


def test_help_tells_every_option(with_gpus: Machine) -> None:
    ended = with_gpus.run("--help")
    assert ended.code == 0
    options = ("--results", "--sizes", "--wheels", "--workers", "--no-bench", "--installed")
    assert all(option in ended.stdout for option in options)
