"""What is known to go wrong on the way to and from a Hub; both are entries of `findings.toml`."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from conformance.hub.result import Back, Failed, Left, Result
from conformance.hub.scenes import Read, Trouble


@dataclass(frozen=True)
class Known:
    """A defect of a library: where it shows, and how."""

    name: str
    """Its name in `findings.toml`."""
    about: str
    """Pattern of what it is about: `scene` and `read`, or `trouble`, with a space between."""
    message: str
    """Pattern of what is raised."""
    left: Left | None = None
    """What a failed push leaves."""


KNOWN = (
    Known(
        "sharded-cannot-be-read-offline",
        rf"upload_folder\.\w+-sharded\.\w+ {Read.OFFLINE}",
        r"OfflineModeIsEnabled.*Cannot reach .*/revision/",
    ),
    Known(
        "failed-push-leaves-an-empty-repository",
        rf"{Trouble.CANNOT_BE_SAVED}|{Trouble.FULL_DISK}",
        r"RuntimeError|OSError",
        Left.EMPTY,
    ),
)


def known(result: Result) -> Known | None:
    """Return the defect that is expected of this way."""
    about = _about(result)
    return next((each for each in KNOWN if re.fullmatch(each.about, about)), None)


def _about(result: Result) -> str:
    return str(result.trouble) if isinstance(result, Failed) else f"{result.scene} {result.read}"


def as_known(result: Result) -> bool:
    """Is it as it should be, or wrong in exactly the way that is known?

    What is known to be wrong and is right is not as expected, either: the entry is obsolete.
    """
    defect = known(result)
    if defect is None:
        return good(result)
    said = " ".join(result.why) if isinstance(result, Back) else result.raised
    left = None if isinstance(result, Back) else result.left
    return not good(result) and left == defect.left and bool(re.search(defect.message, said))


def good(result: Result) -> bool:
    """Did it come back as it does from a directory, or fail and leave nothing?"""
    if isinstance(result, Back):
        return result.as_expected
    return bool(result.raised) and result.left is Left.NOTHING


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Return the results ready for JSON."""
    return [
        asdict(each)
        | {"good": good(each), "known": defect.name if (defect := known(each)) else None}
        for each in results
    ]
