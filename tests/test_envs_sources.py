"""Requirements of other kinds than a release: a nightly, a commit; and another Python."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from called import forget_uv
from fake_index import SAME, environments_file, toyquant, variables
from made import is_ready, lacks, tools_of
from toys import Shell, only

from conformance.versions.environments import Environment, Environments, find
from conformance.versions.make import Tools, ready
from conformance.versions.ready import Lacks, run_in

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]

NIGHTLY = "2.1.dev20261101"
KNOWN = Environments("none", {}, ())
BACKEND = """
import shutil

def build_wheel(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("{wheel}", folder).rpartition("/")[2]
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "toyquant"
version = "{version}"
"""


def environment(text: str) -> Environment:
    return replace(find(text, KNOWN), suite="toysuite==1.0")


@pytest.fixture
def shell(index: Path, scratch: Path, tmp_path: Path) -> Shell:
    return Shell("gate", variables(index, scratch), environments_file(scratch), tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _forget_uv() -> Iterator[None]:
    yield
    forget_uv()


# A nightly


@pytest.fixture
def nightlies(index: Path, tmp_path: Path) -> Path:
    """An index that has a nightly, too."""
    folder = tmp_path / "nightlies"
    folder.mkdir()
    for path in index.glob("*.whl"):
        (folder / path.name).hardlink_to(path)
    toyquant(folder, NIGHTLY, like="2.0")
    return folder


def test_a_nightly_is_installed_when_it_is_named(nightlies: Path, tmp_path: Path) -> None:
    using = tools_of(nightlies, tmp_path, tmp_path / "cache")
    for text in (f"toyquant=={NIGHTLY}", "toyquant>=2.1.dev0,<3"):
        answer = is_ready(ready(environment(f"{text} toyhost==2.0"), using))
        assert answer.versions["toyquant"] == NIGHTLY
    released = is_ready(ready(environment("toyquant>=1,<3 toyhost==2.0"), using))
    assert released.versions["toyquant"] == "2.0"


@pytest.mark.slow
def test_a_gate_of_a_nightly(shell: Shell, nightlies: Path) -> None:
    named = shell.directory / "mine.toml"
    table = '[[environment]]\nname = "{}"\nsuite = "toysuite==1.0"\nrequirements = {}\n'
    text = [
        table.format("old", '["toyquant==2.0", "toyhost==2.0"]'),
        table.format("nightly", f'["toyquant=={NIGHTLY}", "toyhost==2.0"]'),
    ]
    named.write_text("".join(text))
    asked = ("--environments", str(named), "--baseline", "old", "--candidate", "nightly")
    done = shell.run(*asked, *only(SAME), "--exchange", UV_FIND_LINKS=str(nightlies))
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(f"toyquant 2.0 -> {NIGHTLY} is compatible: none of 2 cases")


# A commit


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=toy", "-c", "user.email=toy@example.org")
    command = ["git", "-C", str(folder), *who, *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, version: str) -> str:
    path = toyquant(folder, version)
    (folder / "backend.py").write_text(BACKEND.format(wheel=path.name))
    (folder / "pyproject.toml").write_text(PROJECT.format(version=version))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", version)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> tuple[str, list[str]]:
    """The address of a repository of toyquant, and its commits."""
    folder = tmp_path / "ao"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commits = [commit(folder, version) for version in ("1.0", "1.1")]
    return f"git+{folder.as_uri()}", commits


@pytest.fixture
def online(fresh: Tools) -> Tools:
    """Tools that may fetch, from the index of toys and from repositories alone."""
    variables = {**fresh.uv.variables, "UV_OFFLINE": "0"}
    uv = replace(fresh.uv, variables=variables, index_arguments=("--no-index",))
    return replace(fresh, uv=uv)


def test_a_commit_of_a_repository_is_built(
    online: Tools, repository: tuple[str, list[str]]
) -> None:
    address, commits = repository
    versions = []
    for each in (*commits, "main"):
        answer = is_ready(ready(environment(f"toyquant @ {address}@{each} toyhost==1.0"), online))
        versions.append(answer.versions["toyquant"])
        assert run_in(answer, ["-c", "import toyhost"]).returncode == 0
    assert versions == ["1.0", "1.1", "1.1"]


def test_a_commit_that_is_not_there_is_one_line(
    online: Tools, repository: tuple[str, list[str]]
) -> None:
    answer = lacks(ready(environment(f"toyquant @ {repository[0]}@gone toyhost==1.0"), online))
    assert answer.lacks is Lacks.UNRESOLVED
    assert "gone" in answer.words
    assert "\n" not in answer.reason


# Another Python


def test_the_python_that_is_named_is_taken(fresh: Tools) -> None:
    mine = ".".join(platform.python_version_tuple()[:2])
    asked = replace(environment("toyquant==1.0 toyhost==1.0"), python=sys.executable)
    answer = is_ready(ready(asked, fresh))
    said = run_in(answer, ["-c", "import platform; print(platform.python_version())"]).stdout
    assert said.startswith(f"{mine}.")


def test_a_python_that_is_not_there_is_one_line(fresh: Tools) -> None:
    asked = replace(environment("toyquant==1.0 toyhost==1.0"), python="3.99")
    answer = lacks(ready(asked, fresh))
    assert answer.lacks is Lacks.UNRESOLVED
    assert "No interpreter found for Python 3.99" in answer.words
    assert "\n" not in answer.reason
