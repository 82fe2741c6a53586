"""What a repro shows: one failure, one finding, or that nothing is wrong."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from conformance.errors import UsageError
from conformance.judging.excuses import Differs, Event, Raises
from conformance.judging.expectations import NONE_FOUND, Expectation, Kind
from conformance.judging.measured import Sample
from conformance.judging.pasted import raised_in, without_paths
from conformance.judging.results import Result
from conformance.judging.verdicts import (
    Break,
    breaks,
    is_refusal,
    stage_order,
    verdict_of_break,
)
from conformance.report.repro.said import cause_of, common, typical, words_of
from conformance.roundtrip.checks import all_checks
from conformance.roundtrip.outcome import Failure, Finding, Harm, Outcome, Reader, Stage

DRAWN = frozenset({"picture", "likeness"})
"""The checks of what a whole pipeline draws: a script has none of its other parts."""
UNSCRIPTED = DRAWN | {"eager", "memory"}
"""The checks that no script shows: nor does one compile, or hold a model that fills a machine."""
NOTHING_SAID: Mapping[str, Sequence[Sample]] = {}


@dataclass(frozen=True)
class Raised:
    """A step raises this."""

    stage: Stage
    type: str
    """The class name, without its module."""
    match: str
    """A regular expression, searched in the message."""
    message: str = ""
    """As it was observed; empty where nothing was."""
    cause: str = ""
    """Words of what was raised before, and hidden behind this; empty where nothing was."""
    refusal: bool = False
    """It says clearly that this is not supported: only files that stay behind are wrong."""
    leaves: bool = False
    """Files stay behind."""


@dataclass(frozen=True)
class Found:
    """A check finds this."""

    check: str
    stage: Stage
    what: str
    path: str = ""
    wanted: str = ""
    got: str = ""


@dataclass(frozen=True)
class Defect:
    """What is wrong with a case."""

    shown: Raised | Found
    fresh: bool = False
    """Only in a process that imported nothing of what the writer imported."""
    unsupported: bool = False
    """By design: a refusal that was asked for."""
    reason: str = ""
    issue: str = ""
    """A link, or nothing."""
    traceback: str = ""


def declared(
    case_id: str,
    expectations: Iterable[Expectation],
    name: str = "",
    said: Mapping[str, Sequence[Sample]] = NOTHING_SAID,
) -> Defect | None:
    """Return the defect that the expectations say a case has, the worst of several.

    Args:
        case_id: the case.
        expectations: those that hold for the versions in question.
        name: the expectation to take, or the check that it is about; empty for the worst.
        said: what cases like this were measured to say under these versions, by expectation.

    Raises:
        UsageError: the case has no such expectation.
    """
    about = [each for each in expectations if each.about(case_id)]
    chosen = [each for each in about if name in ("", each.name, _check(each))]
    if name and not chosen:
        raise _unknown(case_id, name, [each.name for each in about])
    defects = (_known(each, said.get(each.name, ())) for each in chosen)
    return min((each for each in defects if each), key=_harm, default=None)


def observed(result: Result, expectations: Sequence[Expectation], name: str = "") -> Defect | None:
    """Return the defect that a result shows, the worst of several.

    Args:
        result: the result of the case.
        expectations: those that hold for the versions of the result.
        name: the expectation to take, the check or the stage; empty for the worst.

    Raises:
        UsageError: the result shows no such thing.
    """
    about = [each for each in expectations if each.about(result.outcome.case)]
    events = breaks(result.outcome)
    chosen = [each for each in events if not name or name in _names(each, about)]
    if name and not chosen:
        known = {known for each in events for known in _names(each, about)}
        raise _unknown(result.outcome.case, name, sorted(known))
    worst = min(chosen, key=_worst_first, default=None)
    return None if worst is None else _seen(worst, next(iter(_excuses(worst, about)), None))


def is_scripted(outcome: Outcome) -> bool:
    """Can a script show what is worst of an outcome? None draws with a pipeline, or compiles."""
    worst = min(breaks(outcome), key=_worst_first, default=None)
    return not (isinstance(worst, Finding) and worst.check in UNSCRIPTED)


def _unknown(case_id: str, name: str, known: Sequence[str]) -> UsageError:
    mend = f"give one of {', '.join(known)}" if known else "leave --defect out"
    return UsageError(f"{case_id} has no defect {name!r}; {mend}")


def _check(expectation: Expectation) -> str:
    excuse = expectation.excuse
    return excuse.check if isinstance(excuse, Differs) else ""


def _harm(defect: Defect) -> tuple[bool, bool, int]:
    """A failure hides what comes after it; of findings a silent corruption is the worst."""
    shown = defect.shown
    altered = {each.name for each in all_checks() if each.harm is Harm.ALTERED}
    check = shown.check if isinstance(shown, Found) else ""
    return (check != "", check in altered, stage_order(shown.stage))


def _worst_first(event: Break) -> tuple[int, int]:
    return (-verdict_of_break(event).harm, stage_order(event.stage))


def _names(event: Break, about: Sequence[Expectation]) -> set[str]:
    own = event.check if isinstance(event, Finding) else event.type
    return {own, str(event.stage), *(each.name for each in _excuses(event, about))}


def _excuses(event: Event, about: Iterable[Expectation]) -> list[Expectation]:
    return [each for each in about if not each.excuse.differences(event)]


def _known(expectation: Expectation, said: Sequence[Sample]) -> Defect | None:
    """Return what an expectation foresees; None where it is how a case ends without a verdict."""
    excuse = expectation.excuse
    if isinstance(excuse, Raises):
        shown: Raised | Found = _foreseen(excuse, said)
    elif isinstance(excuse, Differs):
        sample = typical(said)
        what = _literally(excuse.what.pattern) if sample is None else sample.what
        got = ("", "") if sample is None else (sample.wanted, sample.got)
        shown = Found(excuse.check, excuse.stage, what, "", *got)
    else:
        return None
    return _explained(Defect(shown, excuse.reader is Reader.FRESH), expectation)


def _foreseen(excuse: Raises, said: Sequence[Sample]) -> Raised:
    pattern = excuse.match.pattern
    sample = typical(said)
    return Raised(
        excuse.stage,
        excuse.type.rpartition(".")[2],
        pattern,
        "" if sample is None else sample.message,
        common(cause_of(each.said) for each in said),
        refusal=is_refusal(Failure(excuse.stage, excuse.type, _literally(pattern))),
        leaves=bool(excuse.leftovers),
    )


def _literally(pattern: str) -> str:
    """Return the pattern as a person reads it."""
    return re.sub(r"\\(.)", r"\1", pattern).strip("^$")


def _seen(event: Break, expectation: Expectation | None) -> Defect:
    shown: Raised | Found
    if isinstance(event, Finding):
        shown = Found(
            event.check, event.stage, event.what, event.path, str(event.wanted), str(event.got)
        )
        return _explained(Defect(shown, event.reader is Reader.FRESH), expectation)
    excuse = None if expectation is None else expectation.excuse
    match = (
        excuse.match.pattern if isinstance(excuse, Raises) else re.escape(words_of(event.message))
    )
    shown = Raised(
        event.stage,
        event.type.rpartition(".")[2],
        match,
        without_paths(event.message),
        cause_of(raised_in(event.traceback)),
        refusal=is_refusal(event),
        leaves=bool(event.leftovers),
    )
    defect = Defect(shown, event.reader is Reader.FRESH, traceback=event.traceback)
    return _explained(defect, expectation)


def _explained(defect: Defect, expectation: Expectation | None) -> Defect:
    if expectation is None:
        return defect
    return replace(
        defect,
        unsupported=expectation.kind is Kind.UNSUPPORTED,
        reason=expectation.reason,
        issue="" if expectation.issue == NONE_FOUND else expectation.issue,
    )
