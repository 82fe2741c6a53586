"""What two results say of one case: the whole policy of an upgrade, on one screen."""

from conformance._compat import StrEnum
from conformance.judging.judge import Judgement
from conformance.judging.results import Result
from conformance.judging.verdicts import Verdict, stage_order
from conformance.roundtrip.outcome import Outcome, Stage


class Change(StrEnum):
    """How a case fares after an upgrade."""

    SAME = "same"
    """Measured on both sides, with the same verdict for the same cause."""
    FIXED = "fixed"
    """It passes now and did not."""
    IMPROVED = "improved"
    """It still does not pass, with a less harmful verdict."""
    CHANGED = "changed"
    """The same verdict, for another cause."""
    WORSENED = "worsened"
    """It did not pass, and now has a more harmful verdict."""
    REGRESSED = "regressed"
    """It passed and does not now."""
    ADDED = "added"
    """Measured now, and not before."""
    LOST = "lost"
    """Measured before, and not now."""
    UNKNOWN = "unknown"
    """Measured on neither side: nothing can be said, also where both give the same reason."""

    @property
    def blocks(self) -> bool:
        """Does it speak against the upgrade?"""
        return self in (Change.REGRESSED, Change.WORSENED, Change.LOST)

    @property
    def mirror(self) -> "Change":
        """The change that the opposite step, from after to before, is."""
        return _MIRROR.get(self, self)


_PAIRS = (
    (Change.FIXED, Change.REGRESSED),
    (Change.IMPROVED, Change.WORSENED),
    (Change.ADDED, Change.LOST),
)
_MIRROR = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}


def change(before: Result | None, after: Result | None) -> Change:
    """Compare two results of one case; None stands for a case that a side does not hold.

    Only verdict and `Cause` count, and whether the output was judged: never a raw message, a time,
    a measure, or what was expected. A swap of the sides gives the mirror.
    """
    if before is None or before.judgement.verdict is None:
        return Change.ADDED if after and after.judgement.verdict else Change.UNKNOWN
    if after is None or after.judgement.verdict is None:
        return Change.LOST
    if _only_output_tells_apart(before, after):
        return Change.LOST if after.outcome.storage_only else Change.ADDED
    was, now = before.judgement, after.judgement
    if was.verdict is now.verdict:
        return Change.SAME if was.cause == now.cause else Change.CHANGED
    if now.verdict is Verdict.PASS:
        return Change.FIXED
    if was.verdict is Verdict.PASS:
        return Change.REGRESSED
    return Change.IMPROVED if _harm(now) < _harm(was) else Change.WORSENED


def _only_output_tells_apart(before: Result, after: Result) -> bool:
    """Is it the same but for the output, which one side judged and the other (storage only) not?"""
    if bool(before.outcome.storage_only) == bool(after.outcome.storage_only):
        return False
    causes = (before.judgement.cause, after.judgement.cause)
    by_output = any(cause is not None and cause.stage is Stage.OUTPUT for cause in causes)
    reached = _reaches_output(before.outcome) and _reaches_output(after.outcome)
    return reached and (by_output or causes[0] == causes[1])


def _reaches_output(outcome: Outcome) -> bool:
    failure = outcome.failure
    return failure is None or stage_order(failure.stage) >= stage_order(Stage.OUTPUT)


def _harm(judgement: Judgement) -> int:
    return judgement.verdict.harm if judgement.verdict else -1
