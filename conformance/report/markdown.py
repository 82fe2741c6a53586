"""Two runs side by side as GitHub's Markdown, for the summary of a CI job. Runs nothing."""

import re
from collections.abc import Iterable, Iterator

from conformance.judging.comparison import ACCEPTED, LABELS, Comparison, Row
from conformance.judging.summary import CauseGroup
from conformance.report.comparison import WORDS, headline
from conformance.report.text import printable, shortened

LIMIT = 1_000_000
"""Bytes of UTF-8. GitHub takes 1 MiB for a step, and drops the whole summary above it."""
CASES_SHOWN = 10
SPECIAL = re.compile(r"([\\`*_\[\]<>|&~])")
"""What Markdown would read as markup."""
CUT = "The rest is left out: a summary has a limit. The results files hold everything."


def markdown(comparison: Comparison, limit: int = LIMIT) -> str:
    """Return headline, counts, and what blocks by cause, worst first, in at most `limit` bytes.

    It is cut between two lines, and then says so.
    """
    return _cut([f"## {_plain(headline(comparison))}", *_sections(comparison)], limit)


def _sections(comparison: Comparison) -> Iterator[str]:
    yield from _counts(comparison)
    yield from _versions(comparison)
    for title, rows in (("Breaks", comparison.broken), ("Lost", comparison.lost)):
        if rows:
            yield from ("", f"### {title}")
            yield from _causes(comparison.causes(rows))
            yield from _cases([row.case for row in rows if not row.after], "absent")
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
        yield f"| {' | '.join(_plain(each or 'none') for each in (name, *pair))} |"


def _causes(groups: Iterable[CauseGroup]) -> Iterator[str]:
    for group in groups:
        yield from ("", f"**{_code(shortened(str(group.cause)))}**")
        shared = f"all {', '.join(group.shared.values())}" if group.shared else ""
        yield from _cases(group.cases, shared)


def _cases(cases: Iterable[str], what: str) -> Iterator[str]:
    """Say how many there are and what they share, and name the first ones."""
    found = tuple(cases)
    if not found:
        return
    count = "1 case" if len(found) == 1 else f"{len(found)} cases"
    yield from ("", f"{count}; {_plain(what)}" if what else count, "")
    yield from (f"- {_code(each)}" for each in found[:CASES_SHOWN])
    if len(found) > CASES_SHOWN:
        yield f"- and {len(found) - CASES_SHOWN} more"


def _listed(title: str, rows: Iterable[Row]) -> Iterator[str]:
    found = tuple(rows)
    if found:
        yield from ("", f"### {title}")
        yield from _cases([row.case for row in found], ", ".join(_names(found)))


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row.accepted_by for row in rows if row.accepted_by))


def _plain(text: str) -> str:
    """Return text on one line that is read as it is written."""
    return SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def _code(text: str) -> str:
    """Return text on one line as code; the fence is longer than any run of backticks inside."""
    inside = " ".join(printable(text).split())
    fence = "`" * (max(map(len, re.findall("`+", inside)), default=0) + 1)
    space = " " if inside.startswith("`") or inside.endswith("`") else ""
    return f"{fence}{space}{inside}{space}{fence}"


def _cut(lines: Iterable[str], limit: int) -> str:
    """Keep whole lines from the first one on; what does not fit is said to be left out."""
    sized = [(line, len(line.encode()) + 1) for line in lines]
    if sum(size for _, size in sized) > limit:
        left = limit - len(CUT) - 2
        kept = []
        for line, size in sized:
            left -= size
            if left < 0:
                break
            kept.append(line)
        sized = [(line, 0) for line in (*kept, "", CUT)]
    return "".join(f"{line}\n" for line, _ in sized)
