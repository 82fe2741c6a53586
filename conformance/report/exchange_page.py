"""The tables of docs/exchange.md, made from the committed results of exchanges.

    python -m conformance.report.exchange_page                  # write the tables anew
    python -m conformance.report.exchange_page golden RESULTS   # keep the results first

Only what stands between `<!-- exchange-NAME -->` and `<!-- /exchange-NAME -->` is written.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from conformance.case import find
from conformance.errors import UsageError
from conformance.judging.exchange import Exchanged, Unmeasured, counts
from conformance.judging.exchange_results import ExchangeResults, read_exchange
from conformance.judging.packed import packed
from conformance.report.matrix import BLOCKED, LETTERS, MIXED, Grid, grids, headline, short

ROOT = Path(__file__).parents[2]
PAGE = Path("docs/exchange.md")
REGION = re.compile(r"<!-- exchange-(?P<name>\w+) -->.*?<!-- /exchange-(?P=name) -->", re.DOTALL)
BAD = (Exchanged.FAILED, Exchanged.OUTPUT_DIFFERS, Exchanged.CORRUPT)
SHOWN = {str(each): f"**{each}**" for each in BAD}
WORDS = {letter: SHOWN.get(str(ending), str(ending)) for ending, letter in LETTERS.items()}
UNWRITTEN = LETTERS[Unmeasured.NOT_WRITTEN]
BEHIND = {mark: f" ({who})" for who, mark in BLOCKED.items()} | {MIXED: "~"}


def kept(name: str, root: Path = ROOT) -> Path:
    """Return where the results of an exchange are kept."""
    return root / "docs" / "results" / f"exchange-{name}.jsonl.xz"


def tables(results: ExchangeResults) -> list[str]:
    """Return the headline, the counts, and one table of what every reader gets, as Markdown.

    Rows of one kind of checkpoint whose writers are read alike are one row.
    """
    readers = short(results.header.readers)
    head = f"| scheme, route, format | written by | {' | '.join(readers)} |"
    body = [row for grid, names in _grids(results) for row in _rows(results, grid, names)]
    told = f"In a cell: what the case's own loader gives; {_legend()}."
    return [
        headline(results) + ".",
        "",
        *_counts(results),
        "",
        head,
        f"|---|---|{'---|' * len(readers)}",
        *body,
        "",
        told,
    ]


def _legend() -> str:
    behind = "`(config.json)` or `(loader)` behind it blocks weights that are fine"
    return f"{behind}; `{MIXED}`: the worst of several; what no release wrote has no row"


def _counts(results: ExchangeResults) -> Iterator[str]:
    yield from ("| cells | |", "|---|---:|")
    for name, count in counts(results.cells).items():
        if count:
            yield f"| {name} | {count} |"


def _grids(results: ExchangeResults) -> Iterator[tuple[Grid, list[str]]]:
    cases = map(find, results.header.cases)
    kinds = {each.id: f"{each.scheme.name} {each.route.name} {each.format.name}" for each in cases}
    yield from grids(results, kinds).items()


def _rows(results: ExchangeResults, grid: Grid, names: Sequence[str]) -> Iterator[str]:
    writers = zip(short(results.header.writers), grid, strict=True)
    lines = [(writer, tuple(each.text for each in squares)) for writer, squares in writers]
    title = "<br>".join(f"`{name}`" for name in names)
    for texts, group in groupby(lines, key=lambda each: each[1]):
        if set(texts) == {UNWRITTEN}:
            continue
        written = [writer for writer, _ in group]
        span = written[0] if len(written) == 1 else f"{written[0]} to {written[-1]}"
        yield f"| {title} | {span} | {' | '.join(map(in_words, texts))} |"
        title = ""


def in_words(text: str) -> str:
    """Return the words for a square of the matrix: `Fc~` is a failure that config.json makes."""
    behind = "".join(BEHIND[mark] for mark in text[1:])
    return WORDS.get(text[:1], "not run") + behind


def filled(text: str, root: Path = ROOT) -> str:
    """Return a page with its tables written anew."""

    def region(found: "re.Match[str]") -> str:
        name = found["name"]
        content = "\n".join(tables(read_exchange(kept(name, root))))
        return f"<!-- exchange-{name} -->\n\n{content}\n\n<!-- /exchange-{name} -->"

    return REGION.sub(region, text)


def main(arguments: Iterable[str], root: Path = ROOT) -> None:
    """Keep the results of an exchange where some are given; write the page.

    Raises:
        UsageError: the arguments are wrong, or the results are not whole.
    """
    match list(arguments):
        case []:
            pass
        case [name, results]:
            if not read_exchange(Path(results)).complete:
                raise UsageError(f"{results} is not whole; `conformance exchange --resume` goes on")
            kept(name, root).write_bytes(packed(Path(results).read_text(encoding="utf-8")))
        case _:
            raise UsageError("give nothing, or a name and a results file")
    page = root / PAGE
    page.write_text(filled(page.read_text(encoding="utf-8"), root), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
