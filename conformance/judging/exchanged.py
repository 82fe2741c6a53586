"""The cells of an exchange as results, for a comparison of two readers of the same checkpoints."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from conformance.judging.exchange import Cell
from conformance.judging.judge import judge
from conformance.judging.results import Result, Results
from conformance.roundtrip.kept import Index
from conformance.roundtrip.outcome import Harm, NoResult, NoResultKind, Outcome, Reader, Stage
from conformance.roundtrip.settle import condensed

READ = (Stage.LOAD, Stage.STRUCTURE, Stage.BITS, Stage.OUTPUT)
"""The stages of a reading."""
SEEN = (Reader.FRESH, Reader.BOTH)
"""By whom a fresh reader's finding is told."""


def as_result(cell: Cell, case_id: str) -> Result:
    """Return what the reader of a cell gets by the case's own loader, under this id."""
    outcome = _outcome(cell, case_id)
    return Result(outcome, judge(outcome, ()))


def _outcome(cell: Cell, case_id: str) -> Outcome:
    if cell.readings is not None:
        return replace(cell.readings.loader, case=case_id)
    reason = cell.nothing.reason if cell.nothing else ""
    nothing = NoResult(NoResultKind.HARNESS_ERROR, reason, Stage.LOAD)
    return Outcome(case_id, no_result=nothing)


def joined(results: Results, more: Iterable[Result]) -> Results:
    """Return the results with further cases."""
    return replace(results, cases={**results.cases, **{each.outcome.case: each for each in more}})


def was_saved(result: Result) -> bool:
    """Did the writer of a round trip come as far as a checkpoint?"""
    outcome = result.outcome
    stages = list(Stage)
    unsaved = outcome.failure and stages.index(outcome.failure.stage) < stages.index(Stage.LOAD)
    return not (outcome.no_result or unsaved)


def own_reading(outcome: Outcome) -> Outcome | None:
    """Return what a run's fresh reader got of its checkpoint, as the reading of an exchange.

    None where somebody must be asked to read it: that reader did not come through, or found what
    an exchange settles (`roundtrip/settle.py`).
    """
    broken = outcome.failure and outcome.failure.stage is not Stage.RESAVE
    fresh = [each for each in outcome.findings if each.stage in READ and each.reader in SEEN]
    if broken or outcome.no_result or any(each.harm is Harm.CORRUPT for each in fresh):
        return None
    steps = (step for step in outcome.steps if step.stage in READ and step.reader is Reader.FRESH)
    findings = condensed(replace(each, reader=Reader.FRESH) for each in fresh)
    return Outcome(outcome.case, tuple(steps), tuple(findings), storage_only=outcome.storage_only)


def written_by(results: Results, kept: Callable[[str], bool]) -> Index:
    """Return the index of the checkpoints that a run kept, as if it had done nothing but write.

    What was saved and is not kept any more is left out: nothing is known of it.
    """
    cases = {
        case: Outcome(case) if was_saved(result) else result.outcome
        for case, result in results.cases.items()
        if kept(case) or not was_saved(result)
    }
    return Index(results.header.versions, cases, results.header.suite)
