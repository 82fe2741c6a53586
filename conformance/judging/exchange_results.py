"""The results file of an exchange: JSON lines, a header, a line a cell, a footer."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from conformance import __version__
from conformance.errors import UsageError, results_unwritable
from conformance.judging.exchange import Cell, counts
from conformance.judging.packed import text_of

KIND = "exchange"
SCHEMA_VERSION = 1


def now() -> str:
    """Return the time, ISO 8601, UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class ExchangeHeader:
    """What is known before anything is written."""

    writers: Mapping[str, Mapping[str, str]]
    """Label -> distribution -> version; empty where there is no such environment."""
    readers: Mapping[str, Mapping[str, str]]
    cases: tuple[str, ...]
    globs: tuple[str, ...]
    started: str
    suite: str = __version__
    kind: str = KIND
    schema: int = SCHEMA_VERSION

    @property
    def planned(self) -> int:
        """How many cells there will be if nothing breaks it off."""
        return len(self.writers) * len(self.readers) * len(self.cases)


@dataclass(frozen=True)
class ExchangeResults:
    """A whole file."""

    header: ExchangeHeader
    cells: tuple[Cell, ...]
    complete: bool


class ExchangeWriter:
    """Writes each cell at once; a file that is left by an exception says that it is partial."""

    def __init__(self, path: Path, header: ExchangeHeader) -> None:
        """Open the file and write the header.

        Raises:
            UsageError: the path cannot be written.
        """
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise results_unwritable(path, error) from None
        self._header = header
        self._cells: dict[str, Cell] = {}
        self._line("header", asdict(header))

    def write(self, cell: Cell) -> None:
        """Append a cell.

        Raises:
            ValueError: it is written already.
        """
        if cell.id in self._cells:
            raise ValueError(f"{cell.id} is written already")
        self._line("cell", cell.to_json())
        self._cells[cell.id] = cell

    def _line(self, kind: str, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"line": kind, **content}) + "\n")
        self._file.flush()

    def __enter__(self) -> "ExchangeWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        complete = kind is None and len(self._cells) == self._header.planned
        footer = {"counts": counts(self._cells.values()), "complete": complete, "finished": now()}
        with self._file:
            self._line("footer", footer)


def read_exchange(path: Path) -> ExchangeResults:
    """Read a whole file.

    Raises:
        UsageError: it is missing, truncated, of another schema, or contradicts itself.
    """
    lines = list(_lines(path))
    header = _header(path, lines[0] if lines else {})
    if lines[-1].get("line") != "footer":
        raise UsageError(f"{path} is truncated: it has no footer; run the exchange again")
    try:
        cells = tuple(Cell.from_json(each) for each in lines[1:-1])
        footer = lines[-1]
        agreed = footer["counts"] == counts(cells) and len({c.id for c in cells}) == len(cells)
        complete = bool(footer["complete"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged: {error!r}; run the exchange again") from None
    if not agreed or (complete and len(cells) != header.planned):
        raise UsageError(f"{path} contradicts itself: its footer counts other cells; run it again")
    return ExchangeResults(header, cells, complete)


def earlier_cells(path: Path, header: ExchangeHeader) -> tuple[Cell, ...]:
    """Return the cells that were read in a run that was broken off, also in the middle of a line.

    A reading that hung or died counts: it would again. A cell that nobody read does not.

    Raises:
        UsageError: the file is there and is not of this exchange.
    """
    if not path.exists():
        return ()
    first, *others = path.read_text(encoding="utf-8").splitlines() or [""]
    try:
        found = _header(path, dict(json.loads(first)))
    except ValueError:
        raise UsageError(
            f"{path} is not the results file of an exchange; `conformance exchange` writes one"
        ) from None
    if replace(found, started=header.started) != header:
        raise UsageError(f"{path} is of another exchange; leave out --resume, or name another file")
    return tuple(cell for cell in map(_cell, others) if cell and cell.readings is not None)


def _cell(line: str) -> Cell | None:
    try:
        data = json.loads(line)
        return Cell.from_json(data) if data["line"] == "cell" else None
    except (ValueError, KeyError, TypeError):
        return None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = text_of(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot read the results {path}: {reason}; `conformance exchange` writes them"
        ) from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError):
            raise UsageError(
                f"{path} is damaged: line {number} is no JSON object; run the exchange again"
            ) from None


def _header(path: Path, data: dict[str, Any]) -> ExchangeHeader:
    if data.pop("line", None) != "header" or data.get("kind") != KIND:
        raise UsageError(
            f"{path} is not the results file of an exchange; `conformance exchange` writes one"
        )
    if data.get("schema") != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema version {data.get('schema')!r} and this suite reads version "
            f"{SCHEMA_VERSION}; use the suite version {data.get('suite')!r} that wrote it"
        )
    try:
        tuples = {name: tuple(data[name]) for name in ("cases", "globs")}
        return ExchangeHeader(**{**data, **tuples})
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged: bad header: {error!r}; run it again") from None
