"""The faces of exchange and golden files: what is asked, what is shown, and the exit code."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from stand_in_party import scripted
from test_exchange import CASES, EQUAL, FAILED, cell, player
from test_exchange_results import write

from conformance import cli
from conformance.commands import exchange as command
from conformance.commands import golden
from conformance.judging.exchange_results import read_exchange
from conformance.roundtrip.outcome import Outcome
from conformance.versions.golden import shelves
from conformance.versions.golden_read import items
from conformance.versions.party import Absent

pytestmark = pytest.mark.thorough


def conformance(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    code = caught.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Environments that play their part in the place of real ones."""
    there: dict[str, Any] = {
        "old": player("1.0"),
        "new": player("2.0"),
        "broken": player("3.0", dies=CASES[0]),
        "gone": Absent("gone", "environment gone does not resolve: no such version"),
    }
    monkeypatch.setattr(command, "parties", lambda names, *_: {name: there[name] for name in names})
    return there


RUN = ("exchange", "--select", "flux-tiny.int8wo.*.pickle.cpu")


@pytest.mark.usefixtures("environments")
def test_an_exchange_that_everybody_can_read(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    sides = ("-w", "old", "-w", "new", "-r", "new")
    assert conformance(monkeypatch, *RUN, *sides, "--results", str(file)) == 0
    printed = capfd.readouterr()
    assert printed.out.startswith(
        "2 writers x 1 readers x 2 cases: 4 of 4 cells measured, 4 of them usable\n"
    )
    assert "torchao2.0,diffusers1 reads 4 checkpoints" in printed.err
    assert read_exchange(file).complete


@pytest.mark.usefixtures("environments")
@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("gone", "no result: environment gone does not resolve: no such version\n"),
        ("broken", "torchao3.0,diffusers1 stopped reading: "),
    ],
)
def test_nothing_measured_is_inconclusive_and_says_why(
    reader: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.jsonl"
    one = ("exchange", "-s", CASES[0], "-w", "old", "-r", reader, "--results", str(file))
    assert conformance(monkeypatch, *one) == 3
    assert said in capfd.readouterr().err


@pytest.mark.usefixtures("environments")
def test_a_run_that_was_broken_off_continues_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    sides = (*RUN, "-w", "old", "-r", "new", "--results", str(file))
    assert conformance(monkeypatch, *sides) == 0
    whole = read_exchange(file)
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(lines[:2]), encoding="utf-8")
    capfd.readouterr()
    assert conformance(monkeypatch, *sides, "--resume") == 0
    assert "torchao2.0,diffusers1 reads 1 checkpoints" in capfd.readouterr().err
    by_id = {each.id: each for each in read_exchange(file).cells}
    assert by_id == {each.id: each for each in whole.cells}


def test_a_cell_that_cannot_be_read_is_exit_code_1(tmp_path: Path) -> None:
    bad = read_exchange(write(tmp_path / "x.jsonl", cell(FAILED)))
    good = read_exchange(write(tmp_path / "y.jsonl", cell(EQUAL)))
    assert command._exit_code(bad, interrupted=False) == 1
    assert command._exit_code(good, interrupted=False) == 0
    assert command._exit_code(good, interrupted=True) == 3


def test_the_matrix_is_drawn_again_from_the_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = write(tmp_path / "x.jsonl", cell(FAILED, EQUAL, FAILED))
    assert conformance(monkeypatch, "matrix", str(file)) == 0
    assert "int8wo quantize_ pickle\nwriter \\ reader  1.0\n1.0              Fc\n" in (
        capfd.readouterr().out
    )
    assert conformance(monkeypatch, "matrix", str(file), "--json") == 0
    (only,) = json.loads(capfd.readouterr().out)["cells"].values()
    assert (only["verdict"], only["blocked_by"]) == ("failed", "config.json")


def test_bad_input_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sides = ("-w", "torchao0.18.0", "-r", "torchao0.18.0")
    for arguments in (
        ("exchange", *sides, "-s", "nothing.like.this"),
        ("exchange", "-w", "torchao0.99", "-r", "torchao0.18.0"),
        ("matrix", str(tmp_path / "nowhere.jsonl")),
        ("golden", "list", "--directory", str(tmp_path)),
    ):
        assert conformance(monkeypatch, *arguments) == 2
        assert capfd.readouterr().err.count("\n") == 1


def test_the_golden_files_are_listed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert conformance(monkeypatch, "golden", "list", "--json") == 0
    listed = json.loads(capfd.readouterr().out)
    assert listed["damage"] == []
    assert list(listed["releases"]) == [shelf.name for shelf in shelves()]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "no result: environment gone does not resolve: no such version\n"),
        ("broken", "no result: broken could not write them: exit code 1: no more\n"),
    ],
)
def test_golden_files_that_nobody_can_write_are_no_result(
    name: str,
    said: str,
    environments: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    environments["broken"] = scripted("3.0", "import sys; sys.exit('no more')")
    monkeypatch.setattr(golden, "parties", lambda names, _: {n: environments[n] for n in names})
    assert conformance(monkeypatch, "golden", "make", name, "--directory", str(tmp_path)) == 3
    told = capfd.readouterr()
    assert told.err.splitlines(keepends=True)[-1] == said
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []


def verified(monkeypatch: pytest.MonkeyPatch, state: str) -> int:
    """Verify one release's golden files; the reader's answers come from nowhere."""
    (shelf,) = [each for each in shelves() if each.name == "torchao-0.18"]
    answers = {str(item): Outcome(str(item)) for item in items([shelf])}
    monkeypatch.setattr(golden, "shelves", lambda _: (shelf,))
    monkeypatch.setattr(golden, "expected", lambda *_: ())
    monkeypatch.setattr(golden, "read_all", lambda *_: answers)
    if state == "broken":
        first = next(iter(answers))
        answers[first] = Outcome(first, failure=FAILED.failure)
    return conformance(monkeypatch, "golden", "verify")


def test_golden_files_that_read_as_declared(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verified(monkeypatch, "healthy") == 0
    assert "all are as expected" in capfd.readouterr().out


def test_a_golden_file_that_does_not_is_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verified(monkeypatch, "broken") == 1
    assert "not covered by an expectation: RuntimeError 'no' at load" in capfd.readouterr().out
