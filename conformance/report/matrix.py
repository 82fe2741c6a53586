"""Who can read what whom wrote: a grid a scheme, route and format. Reads results; runs nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.judging.exchange import Cell, Exchanged, Unmeasured, counts
from conformance.judging.exchange_results import ExchangeResults
from conformance.report.text import folding_table, line

Ending = Exchanged | Unmeasured

LETTERS: Mapping[Ending, str] = {
    Exchanged.BITS_EQUAL: "=",
    Exchanged.REFUSED: "R",
    Exchanged.ALTERED: "a",
    Exchanged.FAILED: "F",
    Exchanged.OUTPUT_DIFFERS: "O",
    Exchanged.CORRUPT: "C",
    Unmeasured.NOT_WRITTEN: "-",
    Unmeasured.NO_ENVIRONMENT: "/",
    Unmeasured.NO_RESULT: "?",
}
STYLES: Mapping[Ending, str] = {
    Exchanged.BITS_EQUAL: "green",
    Exchanged.ALTERED: "yellow",
    Exchanged.REFUSED: "cyan",
    Exchanged.FAILED: "red",
    Exchanged.OUTPUT_DIFFERS: "bold white on red",
    Exchanged.CORRUPT: "bold white on red",
    Unmeasured.NOT_WRITTEN: "dim",
    Unmeasured.NO_ENVIRONMENT: "dim",
    Unmeasured.NO_RESULT: "dim",
}
NOT_RUN = "."
BLOCKED = {"config.json": "c", "loader": "l"}
MIXED = "~"
LEGEND = (
    "c: config.json blocks weights that are fine  l: the loader does  "
    f"{MIXED}: the worst of several  {NOT_RUN}: not run"
)


@dataclass(frozen=True)
class Square:
    """What the cells of one grid that share writer and reader come to."""

    text: str
    style: str


def square(cells: Iterable[Cell]) -> Square:
    """Return the worst of the cells, and whether they are all like that."""
    marks = {(_ending(each), each.blocked_by) for each in cells}
    if not marks:
        return Square(NOT_RUN, "dim")
    ending, blocked = max(marks, key=lambda mark: (_order(mark[0]), mark[1]))
    mixed = MIXED if len(marks) > 1 else ""
    return Square(LETTERS[ending] + BLOCKED.get(blocked, "") + mixed, STYLES[ending])


def _ending(cell: Cell) -> Ending:
    ending = cell.verdict or cell.unmeasured
    if ending is None:
        raise ValueError(f"{cell.id} has neither a verdict nor a reason")
    return ending


def _order(ending: Ending) -> int:
    """Verdicts by harm; what was not measured does not hide a verdict."""
    return ending.harm if isinstance(ending, Exchanged) else -1


Grid = tuple[tuple[Square, ...], ...]


def grids(results: ExchangeResults, kinds: Mapping[str, str]) -> dict[Grid, list[str]]:
    """Return the distinct grids, each with the kinds of case that have it.

    `kinds` says by case id what its grid is called: `int8wo quantize_ pickle`.
    """
    squares: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in results.cells:
        squares.setdefault((kinds[cell.case], cell.writer, cell.reader), []).append(cell)
    found: dict[Grid, list[str]] = {}
    for kind in dict.fromkeys(kinds[case] for case in results.header.cases):
        grid = tuple(
            tuple(
                square(squares.get((kind, writer, reader), ())) for reader in results.header.readers
            )
            for writer in results.header.writers
        )
        found.setdefault(grid, []).append(kind)
    return found


def matrix(results: ExchangeResults, kinds: Mapping[str, str]) -> Group:
    """Return the headline, the counts, the legend and every grid."""
    parts: list[RenderableType] = [line(headline(results)), Text(), _counts(results), Text()]
    parts += [_legend(), line(LEGEND, "dim")]
    rows, columns = short(results.header.writers), short(results.header.readers)
    for grid, names in grids(results, kinds).items():
        parts += [Text(), *(line(name, "bold") for name in names), _table(grid, rows, columns)]
    return Group(*parts)


def headline(results: ExchangeResults) -> str:
    """Return one sentence on the whole exchange."""
    header, cells = results.header, results.cells
    measured = [each for each in cells if each.verdict is not None]
    usable = sum(1 for each in measured if each.verdict is not None and each.verdict.usable)
    blocked = sum(1 for each in measured if each.blocked_by)
    text = (
        f"{len(header.writers)} writers x {len(header.readers)} readers"
        f" x {len(header.cases)} cases: {len(measured)} of {header.planned} cells measured,"
        f" {usable} of them usable"
    )
    if blocked:
        text += f", {blocked} more would be by their weights alone"
    missing = header.planned - len(cells)
    return text + (f"; broken off, {missing} cells not run" if missing else "")


def _counts(results: ExchangeResults) -> Table:
    table = folding_table("cells", "")
    table.columns[1].justify = "right"
    styles = {str(ending): style for ending, style in STYLES.items()}
    for name, count in counts(results.cells).items():
        if count:
            table.add_row(Text(name, styles[name]), str(count))
    return table


def _legend() -> Text:
    text = Text(no_wrap=True, overflow="ignore")
    for ending, letter in LETTERS.items():
        text.append(letter, STYLES[ending]).append(f" {ending}  ")
    return text


def _table(grid: Grid, rows: Iterable[str], columns: Iterable[str]) -> Table:
    table = folding_table("writer \\ reader", *columns)
    for column in table.columns[1:]:
        column.justify = "center"
    for row, squares in zip(rows, grid, strict=True):
        table.add_row(row, *(Text(each.text, each.style) for each in squares))
    return table


def short(environments: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Name an environment by its torchao where nothing else tells it from the others."""
    names = [versions.get("torchao", name) for name, versions in environments.items()]
    return names if len(set(names)) == len(names) else list(environments)
