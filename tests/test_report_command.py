"""`conformance report`, and the reports that `run`, `gate` and `exchange` write by themselves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_pages import A, B, C, D, Read, an_exchange
from test_comparison import AXES, BREAKS, HUNG, NEW, OLD, PASS, acceptance, compared
from test_comparison_command import on_disk
from test_exchange import EQUAL, FAILED
from typer.testing import CliRunner

from conformance.cli import app
from conformance.commands.report import exchange_report, gate_report, run_report
from conformance.errors import UsageError
from conformance.judging.comparison import Decision, Side, compare
from conformance.judging.exchange import Cell, label
from conformance.judging.exchange_results import ExchangeHeader, ExchangeWriter
from conformance.judging.exchanged import as_result, joined
from conformance.judging.results import read_results
from conformance.report.comparison import headline, to_json
from conformance.roundtrip.kept import Readings
from conformance.versions.gate_files import read_gate

pytestmark = pytest.mark.thorough

BEFORE = {A: PASS, B: PASS, C: PASS, D: BREAKS}
AFTER = {A: BREAKS, B: BREAKS, C: HUNG, D: PASS}


def invoke(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["report", *arguments])
    if isinstance(ended.exception, UsageError):
        raise ended.exception
    return ended.exit_code, ended.output


def write_exchange(path: Path, header: ExchangeHeader, *cells: Cell) -> Path:
    with ExchangeWriter(path, header) as writer:
        for each in cells:
            writer.write(each)
    return path


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a gate leaves behind: both runs, a retry, the exchange, its retry, and its answer."""
    directory = tmp_path / "gate"
    directory.mkdir()
    on_disk(directory / "baseline.jsonl", BEFORE, OLD)
    on_disk(directory / "candidate.jsonl", AFTER, NEW)
    on_disk(directory / "retry.jsonl", {A: BREAKS, B: PASS}, NEW)
    old, new = label(OLD), label(NEW)
    both = ExchangeHeader({old: OLD}, {old: OLD, new: NEW}, (A, C), (), "2026-01-01")
    again = replace(both, readers={new: NEW}, cases=(A,))
    cells = [
        Cell(case, old, reader, Readings(old, case, outcome, outcome))
        for case in (A, C)
        for reader, outcome in ((old, EQUAL), (new, FAILED if case == A else EQUAL))
    ]
    write_exchange(directory / "exchange.jsonl", both, *cells)
    write_exchange(directory / "exchange-retry.jsonl", again, cells[1])
    answer = to_json(whole(directory, cells))
    (directory / "gate.json").write_text(json.dumps(answer))
    return directory


def whole(directory: Path, cells: list[Cell]) -> Any:
    """Compare as the gate does, with an exception for D of the exchange."""
    wrote = label(OLD)
    before, after, retry = (
        read_results(directory / f"{name}.jsonl") for name in ("baseline", "candidate", "retry")
    )
    ours = [as_result(each, f"{each.case}@{wrote}") for each in cells if each.reader == wrote]
    theirs = [as_result(each, f"{each.case}@{wrote}") for each in cells if each.reader != wrote]
    second = joined(replace(after, cases={}), theirs[:1])
    axes = {f"{case}@{wrote}": {**values, "kind": "exchange"} for case, values in AXES.items()}
    return compare(
        Side(joined(before, ours)),
        Side(joined(after, theirs), (retry, second)),
        {**AXES, **axes},
        [acceptance(cases=A, cause="KeyError")],
    )


def test_a_gate_is_read_again_as_it_was(gate: Path) -> None:
    answer = json.loads((gate / "gate.json").read_text())
    found = read_gate(gate, AXES)
    assert headline(found) == answer["headline"]
    assert json.loads(json.dumps(to_json(found))) == answer
    assert found.decision is Decision.BLOCKED
    assert found.counts["accepted"] == 1
    assert found.counts["flaky"] == 1


def test_a_gate_without_an_answer_is_refused(gate: Path) -> None:
    (gate / "gate.json").unlink()
    with pytest.raises(UsageError, match=r"came to no answer.*--resume ends it"):
        read_gate(gate, AXES)
    (gate / "gate.json").write_text('{"rows": []}')
    with pytest.raises(UsageError, match="'red_exceptions'"):
        read_gate(gate, AXES)


def test_the_directory_of_a_gate_gives_a_report(gate: Path) -> None:
    code, said = invoke(str(gate))
    assert (code, said) == (0, f"report: {gate / 'report.html'}\n")
    read = Read.of((gate / "report.html").read_text())
    assert "Do not upgrade" in read.words
    assert read.total == 6
    assert read.island["kind"] == "comparison"


def test_results_give_a_report_beside_them_or_where_it_is_said(tmp_path: Path) -> None:
    held = on_disk(tmp_path / "r.jsonl", AFTER, NEW)
    assert invoke(held) == (0, f"report: {tmp_path / 'r.html'}\n")
    place = tmp_path / "new" / "there.html"
    assert invoke(held, "-o", str(place)) == (0, f"report: {place}\n")
    assert Read.of(place.read_text()).island["kind"] == "run"
    assert (tmp_path / "r.html").read_text() == place.read_text()


def test_two_results_are_compared(tmp_path: Path) -> None:
    before = on_disk(tmp_path / "before.jsonl", BEFORE, OLD)
    after = on_disk(tmp_path / "after.jsonl", AFTER, NEW)
    invoke(after, "--against", before)
    read = Read.of((tmp_path / "after.html").read_text())
    assert read.island["kind"] == "comparison"
    assert "Do not upgrade torchao 0.17.0 → 0.18.0:" in read.words


def test_an_exchange_gives_a_report(tmp_path: Path) -> None:
    found = an_exchange()
    path = write_exchange(tmp_path / "x.jsonl", found.header, *found.cells)
    invoke(str(path))
    read = Read.of((tmp_path / "x.html").read_text())
    assert (read.island["kind"], read.total) == ("exchange", 8)
    assert sum(count for count, _ in read.counts) == 8


def test_what_goes_with_no_baseline_says_so(tmp_path: Path, gate: Path) -> None:
    found = an_exchange()
    path = write_exchange(tmp_path / "x.jsonl", found.header, *found.cells)
    for given in (path, gate):
        with pytest.raises(UsageError, match="leave --against out"):
            invoke(str(given), "--against", str(path))


@pytest.mark.parametrize("content", ["", "no JSON", '{"line": "header"}\n', "[1]\n"])
def test_what_is_no_results_file_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"r\.jsonl"):
        invoke(str(path))
    with pytest.raises(UsageError, match="no directory of a gate"):
        invoke(str(tmp_path))
    assert not (tmp_path / "r.html").exists()


def test_a_report_that_cannot_be_written_is_one_line_with_the_mend(tmp_path: Path) -> None:
    held = on_disk(tmp_path / "r.jsonl", AFTER, NEW)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="give -o a path"):
        invoke(held, "-o", str(tmp_path / "file" / "report.html"))


def test_run_exchange_and_gate_say_where_their_reports_are(tmp_path: Path) -> None:
    held = Path(on_disk(tmp_path / "r.jsonl", AFTER, NEW))
    assert run_report(held) == f"report: {tmp_path / 'r.html'}"
    assert exchange_report(an_exchange(), tmp_path / "x.jsonl") == f"report: {tmp_path / 'x.html'}"
    assert gate_report(compared(BEFORE, AFTER), tmp_path) == f"report: {tmp_path / 'report.html'}"
    for name in ("r", "x", "report"):
        assert Read.of((tmp_path / f"{name}.html").read_text()).total > 0


def test_what_was_measured_stands_when_its_report_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    held = Path(on_disk(tmp_path / "r.jsonl", AFTER, NEW))
    assert run_report(held).startswith(f"no report: cannot write the report to {tmp_path}")
    assert read_results(held).footer.complete
