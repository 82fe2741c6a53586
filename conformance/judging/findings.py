"""Defects that no case shows, with the script that does: entries of the catalogue all the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.judging.entry import Entry, read_entries
from conformance.judging.excuses import Differs, Raises
from conformance.judging.expectations import Expectation, Kind, issue_of
from conformance.judging.measured import Measured, Sample
from conformance.judging.pasted import Raised
from conformance.roundtrip.outcome import Stage

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

BY_HAND = "script"
"""Stands for the check of a finding that raises nothing."""


@dataclass(frozen=True)
class Shown:
    """A defect that a script shows."""

    expectation: Expectation
    """What it raises, or what is to be seen; it is about no case."""
    measured: Measured
    script: str
    """Path in a checkout. It prints the message and exits with 0 while the defect is there."""


def load_findings(path: Path | Traversable) -> tuple[Shown, ...]:
    """Read the findings.

    Raises:
        UsageError: the file cannot be read, or an entry is wrong in any way.
    """
    return tuple(_shown(entry) for entry in read_entries(path, "finding"))


def _shown(entry: Entry) -> Shown:
    stage = entry.member("stage", Stage)
    message, kind, script = (
        entry.required("message"),
        entry.text("raises"),
        entry.required("script"),
    )
    pattern = re.compile(re.escape(message))
    excuse = Raises(stage, kind, pattern) if kind else Differs(stage, BY_HAND, pattern)
    seen, unseen = entry.texts("seen") or (), entry.texts("unseen") or ()
    if not seen:
        raise entry.wrong('"seen" is missing; name the versions under which the script showed it')
    expectation = Expectation(
        name=entry.name(),
        kind=Kind.KNOWN_BUG,
        cases=(),
        exceptions=(),
        excuse=excuse,
        reason=entry.required("reason"),
        versions={},
        issue=issue_of(entry, Kind.KNOWN_BUG),
        searched=entry.text("searched"),
    )
    entry.close()
    said = (Raised(kind, message),) if kind else ()
    sample = Sample(script, seen[0], said, what="" if kind else message)
    counts = {**dict.fromkeys(seen, (1, 1)), **dict.fromkeys(unseen, (0, 1))}
    return Shown(expectation, Measured(counts, (sample,)), script)
