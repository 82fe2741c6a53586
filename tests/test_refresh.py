"""New releases in the index become a diff."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_index import variables, wheel

from conformance._compat import tomllib
from conformance.errors import UsageError
from conformance.versions.environments import Environment, load_environments
from conformance.versions.refresh import newest_pins, proposals, proposed_diff

pytestmark = pytest.mark.thorough

OLD = Environment("torchao0.17.0", ("torchao==0.17.0", "diffusers==0.41.0"))
NEW = Environment("torchao0.18.0", ("torchao==0.18.0", "diffusers==0.42.1"))
NAMED = {each.name: each for each in (OLD, NEW)}
TEXT = """# mine
[[environment]]
name = "torchao0.18.0"
requirements = ["torchao==0.18.0"]
"""


def test_the_newest_pin_of_each_package_counts() -> None:
    assert newest_pins(NAMED.values()) == {"torchao": "0.18.0", "diffusers": "0.42.1"}
    nine = Environment("nine", ("torchao==0.9.0",))
    assert newest_pins([nine, NEW])["torchao"] == "0.18.0"


def test_each_release_moves_one_package_of_the_newest_environment() -> None:
    releases = {"torchao": ["0.18.1", "0.19.0"], "diffusers": ["0.43.0"]}
    assert list(proposals(NAMED, releases)) == [
        ("torchao0.18.1", ("torchao==0.18.1", "diffusers==0.42.1")),
        ("torchao0.19.0", ("torchao==0.19.0", "diffusers==0.42.1")),
        ("torchao0.18.0-diffusers0.43.0", ("torchao==0.18.0", "diffusers==0.43.0")),
    ]


def test_the_diff_of_nothing_is_empty() -> None:
    assert proposed_diff(TEXT, "x.toml", []) == ""


def refresh(
    folder: Path, index: Path, **more: str
) -> tuple["subprocess.CompletedProcess[str]", Path]:
    file = folder / "mine.toml"
    file.write_text(TEXT)
    given = {
        **variables(index, folder),
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    given.pop("UV_OFFLINE")
    command = [sys.executable, "-m", "conformance.cli", "envs", "refresh"]
    return subprocess.run(
        [*command, "--environments", "mine.toml"],
        cwd=folder,
        env={**given, **more},
        capture_output=True,
        text=True,
    ), file


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for version in ("0.17.0", "0.18.0"):
        wheel(folder, "torchao", version, {})
    return folder


def test_releases_in_the_index_are_proposed_as_a_diff_that_applies(
    tmp_path: Path, index: Path
) -> None:
    for version in ("0.18.1", "0.20.0", "0.21.0.dev1"):
        wheel(index, "torchao", version, {})
    done, file = refresh(tmp_path, index)
    assert done.returncode == 0, done.stderr
    subprocess.run(["git", "apply", "-"], input=done.stdout, cwd=tmp_path, text=True, check=True)
    assert list(load_environments(file).named) == [
        "torchao0.18.1",
        "torchao0.20.0",
        "torchao0.18.0",
    ]
    assert tomllib.loads(file.read_text())["environment"][1]["requirements"] == ["torchao==0.20.0"]


def test_nothing_newer_is_said(tmp_path: Path, index: Path) -> None:
    done, _ = refresh(tmp_path, index)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "nothing newer than torchao 0.18.0\n"


def test_without_a_network_it_is_one_line_and_3(tmp_path: Path, index: Path) -> None:
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    for more in ({**nowhere, "PIP_NO_INDEX": "0"}, {"UV_OFFLINE": "1"}):
        done, _ = refresh(tmp_path, index, **more)
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr.startswith("conformance: the index cannot be read: ")


def test_a_file_that_pins_nothing_has_nothing_to_follow(tmp_path: Path) -> None:
    from conformance.commands.envs import refresh as command

    file = tmp_path / "mine.toml"
    file.write_text('[[environment]]\nname = "x"\nrequirements = ["torchao>=0.1"]\n')
    with pytest.raises(UsageError, match="pins none of torchao, diffusers, torch"):
        command(file)
