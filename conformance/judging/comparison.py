"""Two runs side by side: a row a case, what blocks, for which causes, and the decision.

`compare` makes a `Comparison` of two `Side`s; everything else is asked of that value. It reads no
file, runs nothing and knows no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import product

from conformance._compat import StrEnum
from conformance.errors import UsageError
from conformance.judging.accept import Acceptance
from conformance.judging.compare import Change, change
from conformance.judging.results import Header, Result, Results
from conformance.judging.signature import Cause
from conformance.judging.summary import CauseGroup, ExitCode, causes_worst_first

FLAKY = "flaky"
"""The label of a case that only some of its attempts block."""
ACCEPTED = "accepted"
"""The label of a case that would block if nobody had accepted it."""
LABELS = (
    *(str(change) for change in Change if change.blocks),
    ACCEPTED,
    FLAKY,
    *(str(change) for change in Change if not change.blocks),
)
"""Every case has exactly one: its change, or what takes a would-be block away."""

Axes = Mapping[str, Mapping[str, str]]
"""The axis values of every case by id."""


class Decision(StrEnum):
    """What the comparison answers."""

    COMPATIBLE = "compatible"
    """Nothing blocks."""
    BLOCKED = "blocked"
    """A case blocks, or an exception is red."""
    INCONCLUSIVE = "inconclusive"
    """The two runs cannot be compared, or too little of them is there."""

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        return {
            Decision.COMPATIBLE: ExitCode.AS_EXPECTED,
            Decision.BLOCKED: ExitCode.NOT_AS_EXPECTED,
            Decision.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
        }[self]


@dataclass(frozen=True)
class Side:
    """What one environment gave: a run, and the runs in which some of its cases were retried."""

    run: Results
    retries: tuple[Results, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a retry that is of something else.

        Raises:
            UsageError: it ran in another environment, or holds a case that the run does not.
        """
        for retry in self.retries:
            if (retry.header.suite, retry.header.versions) != (
                self.run.header.suite,
                self.run.header.versions,
            ):
                raise UsageError("a retry must have the versions of the run; retry it there")
            for case in retry.cases:
                if case not in self.run.cases:
                    raise UsageError(
                        f"the retry of {case} is of a case that was not run before; "
                        "retry only cases of the run"
                    )

    @property
    def header(self) -> Header:
        """What is known of the run."""
        return self.run.header

    def attempts(self, case_id: str) -> tuple[Result, ...]:
        """Every result of a case, the first one first; empty when it was not run."""
        found = (each.cases.get(case_id) for each in (self.run, *self.retries))
        return tuple(result for result in found if result is not None)


@dataclass(frozen=True)
class Row:
    """One case on both sides."""

    case: str
    before: tuple[Result, ...]
    """Every attempt, the first one first; empty when this side does not hold the case."""
    after: tuple[Result, ...]
    accepted_by: str = ""
    """The name of the exception that covers it, or empty."""

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """The change between every attempt before and every attempt after, first ones first."""
        return tuple(change(before, after) for before, after in self._pairs)

    @property
    def blocking(self) -> tuple[tuple[Change, str], ...]:
        """Every change that blocks, with the text of its cause; what exceptions are about."""
        pairs = zip(self.changes, self._pairs, strict=True)
        return tuple((change, _text(after)) for change, (_, after) in pairs if change.blocks)

    @property
    def _pairs(self) -> tuple[tuple[Result | None, Result | None], ...]:
        return tuple(product(self.before or (None,), self.after or (None,)))

    @property
    def change(self) -> Change:
        """The change between the first attempts."""
        return self.changes[0]

    @property
    def flaky(self) -> bool:
        """Do some attempts block and others not?"""
        return len({each.blocks for each in self.changes}) == 2

    @property
    def would_block(self) -> bool:
        """Do all attempts block, accepted or not?"""
        return all(each.blocks for each in self.changes)

    @property
    def blocks(self) -> bool:
        """Does it speak against the upgrade, with nobody having accepted it?"""
        return self.would_block and not self.accepted_by

    @property
    def differs(self) -> bool:
        """Did anything change in any attempt?"""
        return any(each not in (Change.SAME, Change.UNKNOWN) for each in self.changes)

    @property
    def label(self) -> str:
        """The one of `LABELS` under which it is counted."""
        if self.flaky:
            return FLAKY
        return ACCEPTED if self.accepted_by and self.would_block else str(self.change)

    @property
    def cause(self) -> Cause | None:
        """The cause after, or before where it passes now or was lost; None for none."""
        causes = (side[0].judgement.cause for side in (self.after, self.before) if side)
        return next((cause for cause in causes if cause is not None), None)


def _text(after: Result | None) -> str:
    return "absent: not in the results" if after is None else str(after.judgement.cause or "pass")


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    before: Header
    after: Header
    rows: tuple[Row, ...]
    """Every case of either side, once."""
    incomparable: tuple[str, ...]
    """Why nothing can be concluded; empty when the runs can be compared."""
    missing: tuple[str, ...]
    """Why a case that one side lacks proves nothing; empty when both sides are whole."""
    red_exceptions: tuple[str, ...]
    """Exceptions that accept nothing or have run out, one line each."""
    axes: Axes

    @property
    def versions(self) -> dict[str, tuple[str | None, str | None]]:
        """The distributions that differ, with both versions; None where it is not installed."""
        return _differing(self.before.versions, self.after.versions)

    @property
    def hardware(self) -> dict[str, tuple[str | None, str | None]]:
        """The facts of the machines that differ."""
        return _differing(self.before.hardware, self.after.hardware)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Cases by label, every label named; together they are all the rows."""
        found = Counter(row.label for row in self.rows)
        return {label: found[label] for label in LABELS}

    @property
    def broken(self) -> tuple[Row, ...]:
        """The rows that block because of what was measured after."""
        return tuple(row for row in self.rows if row.blocks and row.change is not Change.LOST)

    @property
    def lost(self) -> tuple[Row, ...]:
        """The rows that block because nothing was measured after."""
        return tuple(row for row in self.rows if row.blocks and row.change is Change.LOST)

    @property
    def flaky(self) -> tuple[Row, ...]:
        """The rows whose attempts do not agree on whether they block."""
        return tuple(row for row in self.rows if row.flaky)

    @property
    def differing(self) -> tuple[Row, ...]:
        """The rows in which any two attempts differ: of a run against itself, the flaky ones."""
        return tuple(row for row in self.rows if row.differs)

    def causes(self, rows: Iterable[Row]) -> tuple[CauseGroup, ...]:
        """Group rows by the cause after, worst first, with the axis values that they share."""
        return self._grouped(row.after[0] for row in rows if row.after)

    def causes_before(self, rows: Iterable[Row]) -> tuple[CauseGroup, ...]:
        """Group rows by the cause before: what is fixed."""
        return self._grouped(row.before[0] for row in rows if row.before)

    def _grouped(self, results: Iterable[Result]) -> tuple[CauseGroup, ...]:
        # What a run expected of its own versions is no matter between two of them.
        judged = [replace(each.judgement, as_expected=True) for each in results]
        return causes_worst_first(judged, self.axes, among=[row.case for row in self.rows])

    @property
    def decision(self) -> Decision:
        """May we upgrade? A proven break counts before a run being partial."""
        if self.incomparable:
            return Decision.INCONCLUSIVE
        if self._proven(row for row in self.rows if row.blocks):
            return Decision.BLOCKED
        if self.missing:
            return Decision.INCONCLUSIVE
        return Decision.BLOCKED if self.red_exceptions else Decision.COMPATIBLE

    @property
    def steadiness(self) -> Decision:
        """Of a run against itself: does every case end alike? What differs is flaky."""
        if self.incomparable:
            return Decision.INCONCLUSIVE
        if self._proven(self.differing):
            return Decision.BLOCKED
        return Decision.INCONCLUSIVE if self.missing else Decision.COMPATIBLE

    def _proven(self, rows: Iterable[Row]) -> bool:
        """Is there a row that counts? One side lacking the case proves nothing where runs lack."""
        return any(not self.missing or (row.before and row.after) for row in rows)


def compare(
    before: Side,
    after: Side,
    axes: Axes,
    accepted: Sequence[Acceptance] = (),
    today: date = date.min,
) -> Comparison:
    """Compare two runs. `today` decides which exceptions have run out."""
    ids = dict.fromkeys((*before.run.cases, *after.run.cases))
    bare = [Row(case, before.attempts(case), after.attempts(case)) for case in ids]
    current = [each for each in accepted if not each.expired(today)]
    rows = tuple(Row(row.case, row.before, row.after, _accepted(row, current)) for row in bare)
    missing = _missing(before.run, after.run)
    return Comparison(
        before=before.header,
        after=after.header,
        rows=rows,
        incomparable=_incomparable(before.run, after.run),
        missing=missing,
        red_exceptions=(*_run_out(accepted, today), *(() if missing else _unused(current, bare))),
        axes=axes,
    )


def _accepted(row: Row, current: Iterable[Acceptance]) -> str:
    """Return the first exception that covers every blocking attempt of the row."""
    return next((each.name for each in current if _covers(each, row)), "")


def _covers(acceptance: Acceptance, row: Row) -> bool:
    return bool(row.blocking) and all(
        acceptance.covers(row.case, change, cause) for change, cause in row.blocking
    )


def _unused(current: Iterable[Acceptance], rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(
        f"the exception {each.name} accepts nothing; delete it or mend its globs and cause"
        for each in current
        if not any(_covers(each, row) for row in rows)
    )


def _run_out(accepted: Iterable[Acceptance], today: date) -> tuple[str, ...]:
    return tuple(
        f"the exception {each.name} ran out on {each.until}; review it again or delete it"
        for each in accepted
        if each.expired(today)
    )


def _incomparable(before: Results, after: Results) -> tuple[str, ...]:
    reasons = []
    if before.header.suite != after.header.suite:
        reasons.append(
            f"the suite versions differ: {before.header.suite} before, {after.header.suite} after; "
            "run both with one"
        )
    shared = before.cases.keys() & after.cases.keys()
    if not any(_measured(before, case) and _measured(after, case) for case in shared):
        reasons.append("no case was measured on both sides")
    return tuple(reasons)


def _measured(results: Results, case: str) -> bool:
    return results.cases[case].judgement.verdict is not None


def _missing(before: Results, after: Results) -> tuple[str, ...]:
    partial = tuple(
        f"the run {name} is partial: {len(results.cases)} of {results.header.planned} cases; "
        "finish it with `conformance run --resume`"
        for name, results in (("before", before), ("after", after))
        if not results.footer.complete
    )
    selections = before.header.selection, after.header.selection
    if not partial and selections[0] != selections[1] and before.cases.keys() != after.cases.keys():
        return ("the two runs were asked for other cases; run both with the same selection",)
    return partial


def _differing(
    before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    names = dict.fromkeys((*before, *after))
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
