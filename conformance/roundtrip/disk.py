"""A full disk is nobody's defect: it is told apart from what the libraries under test do."""

import re
import shutil
from pathlib import Path

from conformance.roundtrip.outcome import NoResultKind, Outcome

SAID = re.compile(r"os error 28\b|No space left on device|Disk quota exceeded")
ROOM = 2**20
"""Free bytes below which a failed save says nothing of a library."""


class NoSpaceError(Exception):
    """There is no space left to go on. The message says what was being done."""


def no_space(text: str) -> bool:
    """Does this failure say that the disk is full?"""
    return SAID.search(text) is not None


def is_full(directory: Path) -> bool:
    """Is there no room on the disk of a directory? torch does not say why it could not write."""
    return shutil.disk_usage(directory).free < ROOM


def require_space(outcome: Outcome) -> Outcome:
    """Return the outcome, unless a full disk made it.

    Raises:
        NoSpaceError: it did, and so would those that follow.
    """
    ended = outcome.no_result
    if ended and ended.kind is NoResultKind.HARNESS_ERROR and no_space(ended.reason):
        raise NoSpaceError(f"{outcome.case} could not be measured")
    return outcome
