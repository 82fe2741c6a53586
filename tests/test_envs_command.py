"""`conformance envs` on small wheels, also two of it at once, and one that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from called import Ran, called, forget_uv
from fake_index import environments_file, variables

from conformance.versions.cache import Cache
from conformance.versions.make import INSTALLED
from conformance.versions.ready import interpreter_of

pytest_plugins = ["toy_fixtures"]


def conformance(given: Mapping[str, str], *arguments: str) -> Ran:
    return called("envs", *arguments, where=Path.cwd(), variables=given)


@pytest.fixture(scope="module", autouse=True)
def _forget_uv() -> Iterator[None]:
    yield
    forget_uv()


@pytest.fixture
def shell(index: Path, scratch: Path, tmp_path: Path) -> dict[str, str]:
    return {**variables(index, scratch), "CONFORMANCE_CACHE": str(tmp_path / "cache")}


@pytest.fixture(scope="module")
def file(scratch: Path) -> str:
    return str(environments_file(scratch))


@pytest.mark.thorough
def test_the_command_makes_lists_and_cleans(shell: dict[str, str], file: str) -> None:
    names = ["toy1.0", "toyquant==2.0 toyhost==2.0"]
    made_now = conformance(shell, "make", "--environments", file, "toy1.0")
    assert made_now.returncode == 0, made_now.stderr
    assert "toy1.0: made in" in made_now.stdout
    assert "toyquant 1.0 toyhost 1.0" in made_now.stdout
    again = conformance(shell, "make", "--environments", file, "toy1.0", "--json")
    (answer,) = json.loads(again.stdout)
    assert (answer["ready"], answer["cached"]) == (True, True)
    listed = conformance(shell, "list", "--environments", file, "--json")
    there = {each["name"]: each["made"] for each in json.loads(listed.stdout)}
    assert {name for name, is_made in there.items() if is_made} == {"toy1.0"}
    assert len(there) == 7
    cleaned = conformance(shell, "clean", "--environments", file, names[0])
    assert "removed 1 environments" in cleaned.stdout
    listed = conformance(shell, "list", "--environments", file, "toy1.0", "--json")
    assert json.loads(listed.stdout)[0]["made"] is False


@pytest.mark.slow
def test_without_names_all_but_the_heavy_are_made(shell: dict[str, str], file: str) -> None:
    done = conformance(shell, "make", "--environments", file)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert sum(line.startswith("no result: environment") for line in lines) == 4
    assert "huge" not in done.stdout
    assert "\x1b" not in done.stdout
    cleaned = conformance(shell, "clean")
    assert "removed 5 environments" in cleaned.stdout


@pytest.mark.thorough
def test_lock_tells_what_changed(shell: dict[str, str], file: str) -> None:
    first = conformance(shell, "lock", "--environments", file, "toy1.0")
    assert first.stdout == "toy1.0: 3 packages, resolved for the first time\n"
    second = conformance(shell, "lock", "--environments", file, "toy1.0")
    assert second.stdout == "toy1.0: 3 packages, unchanged\n"
    refused = conformance(shell, "lock", "--environments", file, "contradicts")
    assert refused.returncode == 3
    assert "contradicts does not resolve: " in refused.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("make", "tory"), "no environment 'tory' in environments.toml"),
        (("make", "--environments", "gone.toml"), "cannot read the environments gone.toml"),
        (("clean", "torchao=1"), "'torchao=1' is no requirement"),
    ],
)
def test_bad_input_is_one_line_and_2(
    shell: dict[str, str], arguments: tuple[str, ...], said: str
) -> None:
    ended = conformance(shell, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def start(given: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "conformance.cli", "envs", "make", *arguments]
    return subprocess.Popen(command, env=dict(given), stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_make_one_environment_once(shell: dict[str, str], file: str) -> None:
    both = [start(shell, "--environments", file, "toy1.0", "--json") for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=120)[0])[0] for each in both]
    assert sorted(each["cached"] for each in answers) == [False, True]
    assert answers[0]["python"] == answers[1]["python"]


@pytest.mark.slow
def test_one_killed_half_way_is_remade(shell: dict[str, str], file: str, tmp_path: Path) -> None:
    slow = tmp_path / "bin" / "sitecustomize.py"
    slow.parent.mkdir()
    slow.write_text(
        "import subprocess, time\nrun = subprocess.run\n"
        "def slow(command, *a, **k):\n"
        "    if 'sync' in command: time.sleep(60)\n"
        "    return run(command, *a, **k)\n"
        "subprocess.run = slow\n"
    )
    path = os.pathsep.join([str(slow.parent), shell.get("PYTHONPATH", "")])
    killed = start({**shell, "PYTHONPATH": path}, "--environments", file, "toy1.0")
    cache = Cache(Path(shell["CONFORMANCE_CACHE"]))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        interpreter_of(each).exists() for each in cache.environments()
    ):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    (half,) = cache.environments()
    assert interpreter_of(half).exists()
    assert not (half / INSTALLED).exists()
    done = conformance(shell, "make", "--environments", file, "toy1.0", "--json")
    (answer,) = json.loads(done.stdout)
    assert (answer["ready"], answer["cached"]) == (True, False)
    assert (half / INSTALLED).exists()
