"""Reviewed exceptions to what blocks an upgrade, read from TOML files. Strict like expectations.

    [[exception]]
    name = "int8-pickles-of-version-1"
    cases = ["*.int8wo.*.pickle.cpu"]
    changes = ["regressed"]
    cause = "load-failed at load: ModuleNotFoundError"
    reason = "Rewritten by our migration before the upgrade."
    reviewed-by = "A. Reviewer"
    date = 2026-01-31
    until = 2026-06-30

`cause` is a regular expression that is searched in the cause as reports print it. `until` may be
left out: the last day on which the exception holds. An exception that accepts nothing, and one
that has run out, turn the comparison red.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path

from conformance.judging.compare import Change
from conformance.judging.entry import Entry, read_entries

BLOCKING = tuple(change for change in Change if change.blocks)


@dataclass(frozen=True)
class Acceptance:
    """An exception: somebody looked at these breaks and accepts them."""

    name: str
    cases: tuple[str, ...]
    """Globs on case ids."""
    changes: tuple[Change, ...]
    """Only changes that block can be accepted."""
    cause: re.Pattern[str]
    """Searched in the text of the cause."""
    reason: str
    reviewed_by: str
    reviewed: date
    until: date | None = None
    """The last day on which it holds; None: for good."""

    def expired(self, today: date) -> bool:
        """Has it run out?"""
        return self.until is not None and self.until < today

    def covers(self, case_id: str, change: Change, cause: str) -> bool:
        """Is this change of this case, for this cause, accepted?"""
        return (
            change in self.changes
            and any(fnmatchcase(case_id, glob) for glob in self.cases)
            and self.cause.search(cause) is not None
        )


def load_acceptances(path: Path, case_ids: Collection[str], today: date) -> tuple[Acceptance, ...]:
    """Read a file of exceptions; `case_ids` are all that a glob may match.

    Raises:
        UsageError: the file cannot be read, or an entry is wrong in any way.
    """
    found: dict[str, Acceptance] = {}
    for entry in read_entries(path, "exception"):
        acceptance = _acceptance(entry, case_ids, today)
        if acceptance.name in found:
            raise entry.wrong("the name is taken; choose another")
        found[acceptance.name] = acceptance
    return tuple(found.values())


def _acceptance(entry: Entry, case_ids: Collection[str], today: date) -> Acceptance:
    reviewed, until = entry.day("date"), entry.day("until")
    if reviewed is None:
        raise entry.wrong('the key "date" is missing; give the day of the review')
    if reviewed > today:
        raise entry.wrong(f'"date" is {reviewed}, which is to come; give the day of the review')
    if until is not None and until < reviewed:
        raise entry.wrong(f'"until" is {until}, before the review of {reviewed}; give a later day')
    acceptance = Acceptance(
        name=entry.name(),
        cases=entry.globs("cases", case_ids),
        changes=entry.members("changes", BLOCKING, "blocking change"),
        cause=entry.pattern("cause"),
        reason=entry.required("reason"),
        reviewed_by=entry.required("reviewed-by"),
        reviewed=reviewed,
        until=until,
    )
    entry.close()
    return acceptance
