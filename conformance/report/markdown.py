"""Two runs side by side as GitHub's Markdown, for the summary of a CI job. Runs nothing."""

from collections.abc import Iterable, Iterator

from conformance.judging.comparison import ACCEPTED, LABELS, Comparison, Row
from conformance.judging.summary import CauseGroup
from conformance.report.comparison import WORDS, headline
from conformance.report.github import Fit, code, cut, plain
from conformance.report.text import shortened

CASES_SHOWN = 10


def markdown(comparison: Comparison, limit: int = Fit.STEP.limit) -> str:
    """Return headline, counts, and what blocks by cause, worst first, in at most `limit` bytes.

    It is cut between two lines, and then says so.
    """
    return cut([f"## {plain(headline(comparison))}", *_sections(comparison)], limit)


def _sections(comparison: Comparison) -> Iterator[str]:
    yield from _counts(comparison)
    yield from _versions(comparison)
    for title, rows in (("Breaks", comparison.broken), ("Lost", comparison.lost)):
        if rows:
            yield from ("", f"### {title}")
            yield from causes_told(comparison.causes(rows))
            yield from cases_told([row.case for row in rows if not row.after], "absent")
    yield from _listed("Flaky: some attempts block and others do not", comparison.flaky)
    yield from _listed("Accepted", [row for row in comparison.rows if row.label == ACCEPTED])


def _counts(comparison: Comparison) -> Iterator[str]:
    yield from ("", "| change | cases |", "|---|---:|")
    for label in LABELS:
        if count := comparison.counts[label]:
            yield f"| {WORDS.get(label, label)} | {count} |"
    yield f"| all | {len(comparison.rows)} |"


def _versions(comparison: Comparison) -> Iterator[str]:
    if comparison.versions:
        yield from ("", "| distribution | before | after |", "|---|---|---|")
    for name, pair in comparison.versions.items():
        yield f"| {' | '.join(plain(each or 'none') for each in (name, *pair))} |"


def causes_told(groups: Iterable[CauseGroup]) -> Iterator[str]:
    """Yield lines that name each cause, what its cases share, and the first of them."""
    for group in groups:
        yield from ("", f"**{code(shortened(str(group.cause)))}**")
        shared = f"all {', '.join(group.shared.values())}" if group.shared else ""
        yield from cases_told(group.cases, shared)


def cases_told(cases: Iterable[str], what: str) -> Iterator[str]:
    """Yield lines that say how many there are and what they share, and name the first ones."""
    found = tuple(cases)
    if not found:
        return
    count = "1 case" if len(found) == 1 else f"{len(found)} cases"
    yield from ("", f"{count}; {plain(what)}" if what else count, "")
    yield from (f"- {code(each)}" for each in found[:CASES_SHOWN])
    if len(found) > CASES_SHOWN:
        yield f"- and {len(found) - CASES_SHOWN} more"


def _listed(title: str, rows: Iterable[Row]) -> Iterator[str]:
    found = tuple(rows)
    if found:
        yield from ("", f"### {title}")
        yield from cases_told([row.case for row in found], ", ".join(_names(found)))


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.accepted_by for row in rows if row.accepted_by))
