"""Join what the writing process saw and what the fresh process saw into one outcome."""

from collections.abc import Iterable
from dataclasses import replace

from conformance.roundtrip.outcome import Failure, Finding, Outcome, Reader, Stage


def merge(same: Outcome, fresh: Outcome) -> Outcome:
    """Return one outcome of both readers; what both saw is told once."""
    return replace(
        same,
        steps=same.steps + fresh.steps,
        findings=tuple(in_order(_findings(same.findings, fresh.findings))),
        failure=_failure(same.failure, fresh.failure),
        no_result=same.no_result or fresh.no_result,
        measures={**fresh.measures, **same.measures},
    )


def worth_reading(same: Outcome) -> bool:
    """Is there a checkpoint for a fresh process to read?"""
    failed = same.failure and list(Stage).index(same.failure.stage) < list(Stage).index(Stage.LOAD)
    return not (failed or same.no_result)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by stage, check and path."""
    stages = list(Stage)
    return sorted(findings, key=lambda each: (stages.index(each.stage), each.check, each.path))


def _findings(same: tuple[Finding, ...], fresh: tuple[Finding, ...]) -> list[Finding]:
    renamed = {replace(each, reader=Reader.SAME) for each in fresh}
    both = {each for each in same if each in renamed}
    joined = [replace(each, reader=Reader.BOTH) if each in both else each for each in same]
    alone = [each for each in fresh if replace(each, reader=Reader.SAME) not in both]
    return joined + alone


def _failure(same: Failure | None, fresh: Failure | None) -> Failure | None:
    """Prefer the fresh process's failure: it is what everybody else gets."""
    if same is None or fresh is None:
        return fresh or same
    if (same.stage, same.type, same.message) == (fresh.stage, fresh.type, fresh.message):
        return replace(fresh, reader=Reader.BOTH)
    trace = f"{fresh.traceback}\n\nThe writing process failed otherwise:\n{same.traceback}"
    return replace(fresh, traceback=trace)
