"""Says now and then how far large cases are, a line at a time: for a log."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from conformance.report.large import progress_line
from conformance.roundtrip.outcome import Progress

EVERY = 10.0
"""Seconds between two lines about a case."""


@dataclass
class Telling:
    """Says how far each case is; one that waits does not silence the one that works."""

    say: Callable[[str], object]
    clock: Callable[[], float] = time.monotonic
    _parts: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By case: the part at work, and when it began."""
    _told: dict[str, float] = field(default_factory=dict)

    def __call__(self, case: str, now: Progress) -> None:
        """Say it, if it is time to."""
        moment = self.clock()
        part, began = self._parts.get(case, ("", moment))
        if part != now.part:
            began = moment
            self._parts[case] = (now.part, began)
        if moment - self._told.get(case, -math.inf) >= EVERY:
            self._told[case] = moment
            self.say(progress_line(case, now, moment - began))
