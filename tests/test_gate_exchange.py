"""What the baseline wrote, read by both sides of a gate: as cases of their own."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_exchange import ALTERED, CORRUPT, EQUAL, FAILED, KILLED

from conformance.case import all_cases, find
from conformance.environment import hardware, observed_versions
from conformance.judging.compare import Change, change
from conformance.judging.comparison import Side, compare
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchanged import as_result, joined, own_reading, was_saved
from conformance.judging.judge import judge
from conformance.judging.results import Header, Result, ResultsWriter, Selection, read_results
from conformance.report.gate import Watcher
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.kept import Keep, Readings, Request
from conformance.roundtrip.outcome import Failure, Outcome, Reader, Stage
from conformance.roundtrip.readback import read_back
from conformance.session import axes_of
from conformance.versions import gate_exchange
from conformance.versions.environments import Environment
from conformance.versions.exchange import Plan
from conformance.versions.gate import EXCHANGE, Gate, Sides
from conformance.versions.gate_exchange import axes_with, exchange_id, exchanged, read_again
from conformance.versions.ready import Ready
from conformance.versions.runs import Asked, RunError

CASE = "flux-tiny.int8wo.quantize_.state-dict.cpu"
BROKEN = "flux-tiny.int8wo.quantize_.safetensors.cpu"


def read(outcome: Outcome, case_id: str = f"{CASE}@w") -> Result:
    return as_result(Cell(CASE, "w", "r", Readings("w", CASE, outcome, outcome, None)), case_id)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (EQUAL, EQUAL, Change.SAME),
        (EQUAL, FAILED, Change.REGRESSED),
        (EQUAL, CORRUPT, Change.REGRESSED),
        (ALTERED, FAILED, Change.WORSENED),
        (FAILED, EQUAL, Change.FIXED),
        (EQUAL, KILLED, Change.LOST),
    ],
)
def test_readings_compare_as_cases_do(before: Outcome, after: Outcome, expected: Change) -> None:
    assert change(read(before), read(after)) is expected


def test_a_reading_has_the_id_of_the_exchange() -> None:
    found = read(EQUAL)
    assert found.outcome.case == found.judgement.case == f"{CASE}@w"


def test_a_reader_that_did_not_answer_measured_nothing() -> None:
    nothing = Nothing(Unmeasured.NO_RESULT, "the reader ended")
    found = as_result(Cell(CASE, "w", "r", nothing=nothing), "id")
    assert found.judgement.verdict is None
    assert change(read(EQUAL), found) is Change.LOST


@pytest.mark.parametrize(
    ("outcome", "saved"),
    [
        (EQUAL, True),
        (FAILED, True),
        (KILLED, False),
        (Outcome(CASE, failure=Failure(Stage.SAVE, "ValueError", "no")), False),
    ],
)
def test_what_was_saved_can_be_read(outcome: Outcome, saved: bool) -> None:
    assert was_saved(Result(outcome, judge(outcome, ()))) is saved


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """A gate from this interpreter to itself: a real exchange, without a second environment."""
    directory = tmp_path_factory.mktemp("gate")
    python = Path(sys.executable)
    versions = observed_versions()
    this, that = (
        Ready(Environment(name, ()), directory, python, versions, "", cached=True)
        for name in ("this", "that")
    )
    return Gate(this, that, Asked((CASE, BROKEN)), directory, Watcher())


@pytest.fixture(scope="module")
def ran(gate: Gate) -> Sides:
    path = gate.directory / "run.jsonl"
    header = Header.now(observed_versions(), hardware(), Selection((CASE, BROKEN)), 2)
    failure = Failure(Stage.SAVE, "RuntimeError", "invalid python storage")
    with ResultsWriter(path, header) as writer:
        for outcome in (Outcome(CASE), Outcome(BROKEN, failure=failure)):
            writer.write(outcome, judge(outcome, ()))
    side = Side(read_results(path))
    return side, side


@pytest.fixture(scope="module")
def both(gate: Gate, ran: Sides) -> Sides:
    return exchanged(gate, ran)


@pytest.mark.slow
def test_both_sides_read_what_the_baseline_could_write(gate: Gate, both: Sides) -> None:
    own = exchange_id(gate, CASE)
    for side in both:
        assert list(side.run.cases) == [CASE, BROKEN, own]
        assert side.run.cases[own].judgement.verdict == "pass"
    candidate = both[1].run.cases[own].outcome
    assert next(step.stage for step in candidate.steps) is Stage.LOAD


def test_what_the_baseline_read_in_its_run_it_does_not_read_again(
    gate: Gate, ran: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def exchange(plan: Plan, _: object, known: set[str]) -> list[Cell]:
        (writer,) = plan.writers
        cells = [
            Cell(CASE, writer, reader, Readings(writer, CASE, EQUAL, EQUAL))
            for reader in plan.readers
        ]
        asked.extend(cell.reader for cell in cells if cell.id not in known)
        return [cell for cell in cells if cell.id not in known]

    monkeypatch.setattr(gate_exchange, "exchange", exchange)
    seen = tuple(replace(each, reader=Reader.BOTH) for each in CORRUPT.findings)
    # What the writing process alone saw is no reading.
    ones, twos = (EQUAL, ALTERED, CORRUPT), (FAILED, replace(CORRUPT, findings=seen))
    for outcome, readers in (*((each, 1) for each in ones), *((each, 2) for each in twos)):
        asked.clear()
        gate.file(EXCHANGE).unlink(missing_ok=True)
        side = Side(joined(ran[0].run, [read(outcome, CASE)]))
        exchanged(gate, (side, side))
        assert len(asked) == readers


@pytest.mark.thorough
def test_a_reading_of_a_run_is_what_an_exchange_would_have_read(tmp_path: Path) -> None:
    cases = [find(CASE), find("flux-tiny.int8wo.quantize_.pickle.cpu")]
    with Engine(keep=Keep(tmp_path)) as engine:
        ran = {case.id: engine.run(case) for case in cases}
    for readings in read_back([Request("w", tmp_path, tuple(ran))]):
        own = own_reading(ran[readings.case])
        assert own is not None
        assert [replace(f, path="") for f in own.findings] == [
            replace(f, path="") for f in readings.loader.findings
        ]
        assert [step.stage for step in own.steps] == [step.stage for step in readings.loader.steps]


def test_an_exchange_that_measured_nothing_is_no_answer(
    gate: Gate, ran: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(plan: Plan, *_: object) -> list[Cell]:
        nothing = Nothing(Unmeasured.NO_RESULT, "the writer ended before this case")
        return [Cell(CASE, "w", reader, nothing=nothing) for reader in plan.readers]

    monkeypatch.setattr(gate_exchange, "_run", died)
    with pytest.raises(RunError, match="measured nothing: the writer ended before this case"):
        exchanged(gate, ran)


@pytest.mark.slow
def test_a_reading_that_would_block_is_read_again(gate: Gate, both: Sides) -> None:
    before, after = both
    own = exchange_id(gate, CASE)
    worse = Side(joined(after.run, [read(FAILED, own)]))
    axes = axes_with(gate, axes_of([find(CASE)]))
    assert [row.case for row in compare(before, worse, axes).rows if row.blocks] == [own]
    again = read_again(gate, (before, worse), [own])
    row = compare(*again, axes).rows[-1]
    assert (row.case, row.flaky, row.blocks) == (own, True, False)


@pytest.mark.slow
def test_what_needs_no_second_look_is_not_read_again(gate: Gate, both: Sides) -> None:
    assert read_again(gate, both, [CASE]) == both


def test_readings_share_the_axes_of_their_case_and_are_told_apart(gate: Gate) -> None:
    axes = axes_with(gate, axes_of(all_cases().values()))
    assert axes[exchange_id(gate, CASE)] == {**axes[CASE], "kind": "exchange"}
