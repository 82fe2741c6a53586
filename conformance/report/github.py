"""GitHub's Markdown: text that is read as it is written, and what fits where it is shown."""

import re
from collections.abc import Iterable
from itertools import accumulate

from conformance._compat import StrEnum
from conformance.report.text import printable

SPECIAL = re.compile(r"([\\`*_\[\]<>|&~])")
"""What Markdown would read as markup."""
CALLS = re.compile(r"([@#])(?=\w)|\b(GH-)(?=\d)")
"""What would call a person, or link to an issue, of the repository that shows it."""
APART = "&#8203;"
"""A space of no width: nothing is seen, and nobody is called."""
CUT = "{} more lines are left out: a summary has a limit. The results files hold everything."


class Fit(StrEnum):
    """Where GitHub shows a text; it drops the whole of one that is longer than it takes."""

    STEP = "step"
    """The summary of a step of a job: 1 MiB."""
    ISSUE = "issue"
    """The body or a comment of an issue: 65,536 characters."""

    @property
    def limit(self) -> int:
        """The bytes of UTF-8 that a text may have, with room for what stands beside it."""
        return 1_000_000 if self is Fit.STEP else 65_000


def plain(text: str) -> str:
    """Return text on one line that is read as it is written."""
    escaped = SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))
    return CALLS.sub(lambda found: found[0] + APART, escaped)


def code(text: str) -> str:
    """Return text on one line as code; the fence is longer than any run of backticks inside."""
    inside = " ".join(printable(text).split())
    fence = "`" * (max(map(len, re.findall("`+", inside)), default=0) + 1)
    space = " " if inside.startswith("`") or inside.endswith("`") else ""
    return f"{fence}{space}{inside}{space}{fence}"


def cell(text: str) -> str:
    """Return text as code for a cell of a table, which a bare `|` would end also inside code."""
    return code(text).replace("|", r"\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]], align: str = "") -> list[str]:
    """Return the lines of a table whose cells are Markdown; `align` has an `r` where numbers are.

    Raises:
        ValueError: a row has more or fewer cells than the head.
    """
    names = list(head)
    sides = align.ljust(len(names), "l")
    rules = ["---:" if side == "r" else "---" for side in sides[: len(names)]]
    lines = [_row(names), f"|{'|'.join(rules)}|"]
    for row in rows:
        cells = list(row)
        if len(cells) != len(names):
            raise ValueError(f"{len(cells)} cells under {len(names)} names: {cells}")
        lines.append(_row(cells))
    return lines


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cut(lines: Iterable[str], limit: int) -> str:
    """Keep whole lines from the first one on, and say how many do not fit.

    `limit` is in bytes of UTF-8. A line that opens a block which a later one would close must not
    be given: what is cut off behind it would leave it open.
    """
    told = list(lines)
    sizes = [len(line.encode()) + 1 for line in told]
    if sum(sizes) > limit:
        left = limit - len(CUT.format(len(told))) - 2
        kept = sum(1 for total in accumulate(sizes) if total <= left)
        told = [*told[:kept], "", CUT.format(len(told) - kept)]
    return "".join(f"{line}\n" for line in told)
