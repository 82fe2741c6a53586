"""`conformance damage`: what it writes, prints and ends with. Nothing real is damaged here."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_damage_mutations import CHECKPOINTS
from typer.testing import CliRunner

from conformance import cli
from conformance.case import find
from conformance.commands import damage as command
from conformance.damage.bench import Target, Unwritten
from conformance.damage.fate import Fate, Result
from conformance.damage.results import Header, Writer, read
from conformance.damage.run import Job
from conformance.roundtrip.ladder import HarnessError
from conformance.versions import damage as elsewhere
from conformance.versions.environments import find as environment
from conformance.versions.environments import load_environments
from conformance.versions.make import tools
from conformance.versions.ready import Lacks, NotReady, Ready

CASE = find("flux-tiny.int8wo.torchao-config.safetensors.cpu")
OTHER = find("flux-tiny.int8wo.torchao-config.pickle.cpu")
FILES, STALE = CHECKPOINTS["safetensors"]


def judged(job: Job) -> Iterator[Result]:
    for each in job.mutations:
        yield Result(job.target.case.id, str(each.kind), each.name, Fate.DETECTED, error="E: x")


def all_of(jobs: list[Job], _workers: int, _timeout: float) -> Iterator[Result]:
    for each in jobs:
        yield from judged(each)


def broken_off(jobs: list[Job], _workers: int, _timeout: float) -> Iterator[Result]:
    yield from list(judged(jobs[0]))[:2]
    raise KeyboardInterrupt


def unsure(_jobs: list[Job], _workers: int, _timeout: float) -> Iterator[Result]:
    raise HarnessError("x is not read as it was written: two readings differ")
    yield


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a call of the command, over a checkpoint made by hand."""
    made = [Target(CASE, FILES, STALE), Unwritten(OTHER, "no such thing here")]
    monkeypatch.setattr(command, "targets", lambda _cases: iter(made))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, run: Any = all_of) -> Any:
        monkeypatch.setattr(command, "run", run)
        return CliRunner().invoke(cli.app, ["damage", *arguments])

    return call


def test_all_of_it_is_measured_and_written(ran: Any) -> None:
    ended = ran()
    assert ended.exit_code == 0
    found = read(Path("conformance-damage.jsonl"))
    assert found.complete
    assert len(found.results) >= 500
    assert found.header.unwritten == {OTHER.id: "no such thing here"}
    assert f"{len(found.results)} are detected" in ended.stdout


def test_a_sample_and_a_glob_choose(ran: Any) -> None:
    ran("--count", "7", "--results", "a.jsonl")
    assert len(read(Path("a.jsonl")).results) == 7
    ran("--only", "executes/beside-*", "--results", "b.jsonl")
    names = {each.name for each in read(Path("b.jsonl")).results}
    assert names
    assert all(each.startswith("beside-") for each in names)


def test_nothing_to_do_is_one_line(ran: Any) -> None:
    ended = ran("--only", "nothing/*")
    assert str(ended.exception).startswith("there is nothing to damage")


def test_what_was_broken_off_is_kept(ran: Any) -> None:
    ended = ran("--results", "p.jsonl", run=broken_off)
    assert ended.exit_code == 3
    found = read(Path("p.jsonl"))
    assert len(found.results) == 2
    assert not found.complete
    assert "partial results: p.jsonl" in ended.stdout


def test_a_measurement_that_proves_nothing_is_inconclusive(ran: Any) -> None:
    ended = ran(run=unsure)
    assert ended.exit_code == 3
    assert "conformance: x is not read as it was written" in ended.stderr


def test_json_is_all_that_is_printed(ran: Any) -> None:
    ended = ran("--count", "3", "--json")
    assert json.loads(ended.stdout)["complete"]


def test_kept_checkpoints_are_damaged_ones(ran: Any) -> None:
    ended = ran("--only", "config-missing/gone", "--kept", "here")
    (place,) = [Path(each) for each in ended.stdout.split()]
    assert [each.name for each in place.iterdir()] == ["m.safetensors"]
    assert not Path("conformance-damage.jsonl").exists()


# Other environments


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ready:
    known = environment("torchao0.17.0", load_environments())
    there = Ready(known, tmp_path, tmp_path / "python", {}, "", cached=True)
    monkeypatch.setattr(elsewhere, "ready", lambda *_: there)
    return there


@pytest.mark.thorough
def test_another_environment_is_asked_for_the_same(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def run_in(_there: Ready, arguments: list[str]) -> Any:
        asked.append(arguments)
        with Writer(Path(arguments[-1]), Header({}, 0, {}, "", {})):
            return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(elsewhere, "run_in", run_in)
    place = elsewhere.results_of(tmp_path / "d.jsonl", ready.environment)
    found = elsewhere.damaged_in(ready.environment, tools(), ["--only", "x"], place)
    assert found == read(place)
    assert place.name == "d-torchao0.17.0.jsonl"
    assert asked == [["-m", "conformance.cli", "damage", "--only", "x", "--results", str(place)]]


def test_why_there_are_no_results_is_told(
    ready: Ready, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = subprocess.CompletedProcess([], 2, "", "a\nthere is nothing to damage\n")
    monkeypatch.setattr(elsewhere, "run_in", lambda *_: said)
    found = elsewhere.damaged_in(ready.environment, tools(), [], tmp_path / "d.jsonl")
    assert found == elsewhere.Absent("torchao0.17.0", "there is nothing to damage")
    lacking = NotReady(ready.environment, Lacks.UNRESOLVED, "no index")
    monkeypatch.setattr(elsewhere, "ready", lambda *_: lacking)
    found = elsewhere.damaged_in(ready.environment, tools(), [], tmp_path / "d.jsonl")
    assert found == elsewhere.Absent("torchao0.17.0", lacking.reason)
