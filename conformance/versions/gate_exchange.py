"""The part of a gate that breaks users: what the baseline wrote, read by the candidate."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from conformance.case import find
from conformance.errors import UsageError
from conformance.judging.comparison import Side
from conformance.judging.exchange import Cell, label
from conformance.judging.exchange_results import (
    ExchangeHeader,
    ExchangeWriter,
    earlier_cells,
    now,
)
from conformance.judging.exchanged import as_result, joined, own_reading, was_saved
from conformance.judging.results import Result
from conformance.roundtrip.kept import Readings, spared
from conformance.versions.exchange import DEFAULT, Plan, exchange, plan
from conformance.versions.gate import (
    AGAIN,
    BASELINE,
    CANDIDATE,
    CHECKPOINTS,
    EXCHANGE,
    Gate,
    Sides,
)
from conformance.versions.parties import party_of
from conformance.versions.party import Party
from conformance.versions.runs import RunError


def exchanged(gate: Gate, sides: Sides) -> Sides:
    """Add what both sides read of the baseline's checkpoints, as cases of their own.

    Raises:
        UsageError: the directory holds the exchange of another gate.
        RunError: the baseline could read nothing of what it should have written.
    """
    before, after = sides
    cases = _written(gate, before)
    if not cases:
        return sides
    gate.watcher.say(f"{len(cases)} checkpoints of the baseline, read by both")
    own = _member_label(gate, BASELINE)
    plan = _plan(gate, cases, (BASELINE, CANDIDATE))
    cells = _run(plan, gate, EXCHANGE, list(_own_cells(plan, own, before)))
    wrote = sorted(
        (cell for cell in cells if cell.reader == own), key=lambda cell: cases.index(cell.case)
    )
    if all(cell.verdict is None for cell in wrote):
        why = next((cell.nothing.reason for cell in wrote if cell.nothing), "no reading ended")
        raise RunError(f"the exchange measured nothing: {why}")
    read = [cell for cell in cells if cell.reader != own]
    return _with(gate, before, wrote), _with(gate, after, read)


def read_again(gate: Gate, sides: Sides, blocking: Iterable[str]) -> Sides:
    """Read once more, in the candidate, the checkpoints whose reading would block."""
    before, after = sides
    asked = {exchange_id(gate, case): case for case in _written(gate, before)}
    cases = [asked[each] for each in blocking if each in asked]
    if not cases:
        return sides
    gate.watcher.say(f"{len(cases)} readings would block; once more in the candidate")
    cells = _again(_plan(gate, cases, (CANDIDATE,)), gate)
    retry = joined(replace(after.run, cases={}), _results(gate, cells))
    return before, replace(after, retries=(*after.retries, retry))


def _own_cells(plan: Plan, reader: str, before: Side) -> Iterator[Cell]:
    """Yield what the baseline's run has read already: in a fresh process, by the case's loader."""
    (writer,) = plan.writers
    for case in plan.cases:
        loader = own_reading(before.run.cases[case.id].outcome)
        if loader is not None:
            weights = spared(case.id) if case.format.has_config else loader
            yield Cell(case.id, writer, reader, Readings(writer, case.id, loader, weights))


def _again(plan: Plan, gate: Gate) -> list[Cell]:
    """Read them; what an earlier gate in this directory read of the same ones counts."""
    try:
        return _run(plan, gate, AGAIN)
    except UsageError:  # what is there are the readings of other cases
        gate.file(AGAIN).unlink(missing_ok=True)
        return _run(plan, gate, AGAIN)


def exchange_id(gate: Gate, case_id: str) -> str:
    """Return the id of a case that the baseline wrote for others to read."""
    return f"{case_id}@{label(gate.baseline.versions)}"


def axes_with(gate: Gate, axes: Mapping[str, Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """Return the axis values by id, those of the exchange added."""
    own = {exchange_id(gate, case): {**values, "kind": "exchange"} for case, values in axes.items()}
    return {**axes, **own}


def _written(gate: Gate, before: Side) -> tuple[str, ...]:
    asked = gate.asked.globs or gate.asked.markers
    wanted = before.run.cases.keys() if asked else DEFAULT
    saved = (case for case, result in before.run.cases.items() if was_saved(result))
    known = frozenset(wanted)
    return tuple(case for case in saved if case in known)


def _plan(gate: Gate, cases: Sequence[str], readers: Sequence[str]) -> Plan:
    whole = plan(
        [_party(gate, BASELINE)],
        [_party(gate, name) for name in readers],
        [find(case) for case in cases],
        cases,
        (gate.directory / CHECKPOINTS).resolve(),
        gate.asked.timeout,
    )
    return replace(whole, sparing=True)


def _party(gate: Gate, name: str) -> Party:
    return party_of(gate.baseline if name == BASELINE else gate.candidate, name)


def _member_label(gate: Gate, name: str) -> str:
    """Return what the plan calls an environment among both readers."""
    labels = _plan(gate, (), (BASELINE, CANDIDATE)).readers
    return next(found for found, party in labels.items() if party.name == name)


def _run(plan: Plan, gate: Gate, name: str, known: Sequence[Cell] = ()) -> list[Cell]:
    header = ExchangeHeader(
        writers={key: dict(each.versions) for key, each in plan.writers.items()},
        readers={key: dict(each.versions) for key, each in plan.readers.items()},
        cases=tuple(case.id for case in plan.cases),
        globs=plan.globs,
        started=now(),
    )
    path = gate.file(name)
    earlier = earlier_cells(path, header)
    cells = list({cell.id: cell for cell in (*known, *earlier)}.values())
    with ExchangeWriter(path, header) as writer:
        for cell in cells:
            writer.write(cell)
        for cell in exchange(plan, gate.watcher.say, {cell.id for cell in cells}):
            writer.write(cell)
            cells.append(cell)
    return cells


def _with(gate: Gate, side: Side, cells: Iterable[Cell]) -> Side:
    return replace(side, run=joined(side.run, _results(gate, cells)))


def _results(gate: Gate, cells: Iterable[Cell]) -> list[Result]:
    return [as_result(cell, exchange_id(gate, cell.case)) for cell in cells]
