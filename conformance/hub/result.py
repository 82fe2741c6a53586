"""What came back from a Hub, and what a failed push left there: pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from conformance._compat import StrEnum
from conformance.hub.scenes import Read, Trouble
from conformance.judging.judge import Judgement


class Left(StrEnum):
    """What a failed push left on the Hub."""

    NOTHING = "no repository"
    EMPTY = "an empty repository"
    FILES = "files"


@dataclass(frozen=True)
class Back:
    """One way back of one scene."""

    scene: str
    read: Read
    verdict: str
    as_expected: bool
    why: tuple[str, ...] = ()
    """What is not as expected, or why there is no verdict."""


@dataclass(frozen=True)
class Failed:
    """A push that must fail."""

    trouble: Trouble
    raised: str
    left: Left


Result = Back | Failed

OWN = frozenset({".gitattributes"})
"""What a Hub puts into a new repository by itself."""


def back(scene: str, read: Read, judged: Judgement) -> Back:
    """Return what a judged reading says."""
    verdict = str(judged.verdict or judged.no_result or "")
    return Back(scene, read, verdict, judged.as_expected, tuple(judged.reasons))


def left(files: Iterable[str] | None) -> Left:
    """Tell what is left by the files of the repository; None where there is none."""
    if files is None:
        return Left.NOTHING
    return Left.FILES if set(files) - OWN else Left.EMPTY
