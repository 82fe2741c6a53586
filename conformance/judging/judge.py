"""Is the outcome as expected? An excuse covers one failure; an excuse too many is an error too."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conformance.judging.excuses import Differs, Event, describe
from conformance.judging.expectations import Expectation, Kind
from conformance.judging.signature import Cause, cause_of
from conformance.judging.verdicts import Verdict, breaks, stage_of, stage_order, verdict_of
from conformance.roundtrip.outcome import Finding, NoResultKind, Outcome, Stage


@dataclass(frozen=True)
class Judgement:
    """What the outcome of one case is worth."""

    case: str
    verdict: Verdict | None
    """None for a case without a result."""
    no_result: NoResultKind | None
    """None for a case with a verdict."""
    stage: Stage | None
    """The first that broke."""
    as_expected: bool
    covered_by: tuple[str, ...]
    """Names of the expectations that foresaw what happened."""
    reasons: tuple[str, ...]
    """Why it is not as expected, one line each; empty when it is."""
    cause: Cause | None
    """None for a pass."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Judgement":
        """Rebuild a judgement from `to_json`'s dictionary.

        Raises:
            KeyError, TypeError, ValueError: the dictionary is not a judgement.
        """
        verdict, no_result, stage = data["verdict"], data["no_result"], data["stage"]
        return cls(
            case=data["case"],
            verdict=None if verdict is None else Verdict(verdict),
            no_result=None if no_result is None else NoResultKind(no_result),
            stage=None if stage is None else Stage(stage),
            as_expected=data["as_expected"],
            covered_by=tuple(data["covered_by"]),
            reasons=tuple(data["reasons"]),
            cause=None if data["cause"] is None else Cause.from_json(data["cause"]),
        )


def judge(outcome: Outcome, expectations: Iterable[Expectation]) -> Judgement:
    """Judge one outcome by the expectations that are active; those of other cases are ignored."""
    declared = tuple(each for each in expectations if each.about(outcome.case))
    events = _events(outcome)
    covering = tuple(each for each in declared if _covered(events, each))
    verdict = verdict_of(outcome)
    reasons = (
        *_not_covered(events, declared),
        *_not_met(outcome, events, declared),
        *_not_refused(verdict, covering),
    )
    return Judgement(
        case=outcome.case,
        verdict=verdict,
        no_result=outcome.no_result.kind if outcome.no_result else None,
        stage=stage_of(outcome),
        as_expected=not reasons,
        covered_by=tuple(each.name for each in covering),
        reasons=reasons,
        cause=cause_of(outcome),
    )


def unused(expectations: Iterable[Expectation], judgements: Iterable[Judgement]) -> tuple[str, ...]:
    """Return the names of the active expectations that no measured case put to the test.

    Meant for a full run. Give only what the run could measure: an expectation about CUDA cases
    is not unused on a machine without CUDA.
    """
    judged = tuple(judgements)
    measured = {each.case for each in judged if each.verdict is not None}
    covering = {name for each in judged for name in each.covered_by}
    return tuple(
        each.name
        for each in expectations
        if each.name not in covering and not any(map(each.about, measured))
    )


def _events(outcome: Outcome) -> tuple[Event, ...]:
    """Everything that wants an excuse; what was found before a case was stopped stays in it."""
    ended = outcome.no_result
    if ended is None or ended.kind is NoResultKind.SKIPPED:
        return breaks(outcome)
    return (*breaks(outcome), ended)


def _covered(events: Iterable[Event], expectation: Expectation) -> tuple[Event, ...]:
    return tuple(each for each in events if not expectation.excuse.differences(each))


def _not_covered(events: Iterable[Event], declared: tuple[Expectation, ...]) -> tuple[str, ...]:
    """Say it once for all findings that differ in nothing but the tensor."""
    alone = [event for event in events if all(each.excuse.differences(event) for each in declared)]
    alike: dict[Hashable, list[Event]] = {}
    for event in alone:
        alike.setdefault(_likeness(event), []).append(event)
    return tuple(
        f"not covered by an expectation: {describe(first)}"
        + (f", and the same in {len(others)} more" if others else "")
        for first, *others in alike.values()
    )


def _likeness(event: Event) -> Hashable:
    if isinstance(event, Finding):
        return (event.check, event.stage, event.what, event.reader)
    return event


def _not_met(
    outcome: Outcome, events: tuple[Event, ...], declared: Iterable[Expectation]
) -> tuple[str, ...]:
    """Say of each expectation that covers nothing how far off it is.

    A case that broke before the stage of an expectation says nothing about it.
    """
    if outcome.no_result is not None:
        return ()
    reached = stage_order(outcome.failure.stage) if outcome.failure else len(Stage)
    return tuple(
        _how_far_off(each, events)
        for each in declared
        if each.kind is not Kind.FLAKY
        and not _covered(events, each)
        and not (isinstance(each.excuse, Differs) and stage_order(each.excuse.stage) > reached)
    )


def _how_far_off(expectation: Expectation, events: tuple[Event, ...]) -> str:
    name, excuse = expectation.name, expectation.excuse
    if not events:
        bounds = f" ({expectation.bounds})" if expectation.versions else ""
        return (
            f"obsolete: passes under the expectation {name}; "
            f"delete it or narrow its versions{bounds}"
        )
    nearest = min(events, key=lambda event: _distance(excuse.differences(event)))
    parts = excuse.differences(nearest)
    return (
        f"the expectation {name} is not met: expected {excuse}, got {describe(nearest)} "
        f"({', '.join(parts)} {'differs' if len(parts) == 1 else 'differ'})"
    )


def _distance(differences: tuple[str, ...]) -> int:
    """Another kind of event is farther off than any difference of the same kind."""
    return 99 if differences == ("kind",) else len(differences)


def _not_refused(verdict: Verdict | None, covering: Iterable[Expectation]) -> tuple[str, ...]:
    if verdict is Verdict.REFUSED or verdict is None:
        return ()
    return tuple(
        f"{each.name} says unsupported, which must end as refused; it ended as {verdict}"
        for each in covering
        if each.kind is Kind.UNSUPPORTED
    )
