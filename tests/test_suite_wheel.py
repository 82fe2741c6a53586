"""The running suite as a wheel."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from conformance import __version__
from conformance._compat import tomllib
from conformance.versions.shipped import SHIPPED
from conformance.versions.suite_wheel import declared, suite_wheel

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_is_shipped_is_what_the_build_includes() -> None:
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {name: f"conformance/{name}" for name in SHIPPED}


def test_a_dependency_is_declared_once() -> None:
    names = [re.split(r"[>=<~! ;\[]", each)[0] for each in PROJECT["project"]["dependencies"]]
    assert sorted(set(names)) == sorted(names)


def test_it_declares_what_the_project_declares() -> None:
    says = declared()
    assert list(says.requirements) == PROJECT["project"]["dependencies"]
    assert says.entry_points == {
        "console_scripts": PROJECT["project"]["scripts"],
        **PROJECT["project"]["entry-points"],
    }


def test_equal_content_is_an_equal_wheel() -> None:
    first, second = suite_wheel(), suite_wheel()
    assert first == second
    assert first.version.startswith(f"{__version__}+")
    assert first.file == f"quantized_checkpoint_conformance-{first.version}-py3-none-any.whl"


def test_it_holds_the_package_and_what_is_shipped() -> None:
    with zipfile.ZipFile(io.BytesIO(suite_wheel().content)) as archive:
        names = archive.namelist()
    assert {"conformance/cli.py", "conformance/judging/results.schema.json"} <= set(names)
    assert {
        "conformance/ci/environments.toml",
        "conformance/fixtures/models/flux-tiny.json",
    } <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    assert len(names) == len(set(names))


def copied(folder: Path) -> Path:
    """A checkout of a small suite."""
    package = folder / "conformance"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__pycache__" / "x.pyc").write_text("")
    (folder / "fixtures" / "models").mkdir(parents=True)
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return package


def test_any_edit_is_another_version(tmp_path: Path) -> None:
    package = copied(tmp_path)
    versions = [suite_wheel(package).version]
    for path in (
        package / "__init__.py",
        package / "new.py",
        tmp_path / "fixtures" / "models" / "a.json",
    ):
        path.write_text("1")
        versions.append(suite_wheel(package).version)
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace('"psutil>=5.9"', '"psutil>=5.8"'))
    versions.append(suite_wheel(package).version)
    (package / "__pycache__" / "x.pyc").write_text("1")
    assert len(set(versions)) == 5
    assert suite_wheel(package).version == versions[-1]


def test_an_installed_suite_packs_the_same_wheel(tmp_path: Path) -> None:
    packed = suite_wheel()
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
        "from conformance.versions.suite_wheel import PACKAGE, suite_wheel;"
        "print(PACKAGE, suite_wheel().version)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / "conformance"), packed.version], done.stderr
