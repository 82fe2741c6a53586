"""The results file: JSON lines, a header, a line a case, a footer. No footer, no file.

`results.schema.json` beside this module describes the three kinds of line.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from conformance import __version__
from conformance.errors import UsageError, results_unwritable
from conformance.judging.judge import Judgement
from conformance.judging.packed import text_of
from conformance.judging.summary import Tally, tally
from conformance.roundtrip.outcome import Outcome
from conformance.shard import Shard

SCHEMA_VERSION = 1
"""Raised with every change after which an old reader would misread a file."""

Clock = Callable[[], datetime]
Parsed = TypeVar("Parsed")


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Selection:
    """Which cases were asked for."""

    globs: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    device: str = ""
    """Empty for every device."""
    shard: Shard | None = None
    """The part of them that this run has; None for all."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, with a shard only where there is one."""
        asked = {"globs": self.globs, "markers": self.markers, "device": self.device}
        return asked if self.shard is None else {**asked, "shard": str(self.shard)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Selection":
        """Rebuild a selection from `to_json`'s dictionary.

        Raises:
            KeyError, TypeError, UsageError: the dictionary is not a selection.
        """
        shard = Shard.parse(data["shard"]) if "shard" in data else None
        return cls(tuple(data["globs"]), tuple(data["markers"]), data["device"], shard)


@dataclass(frozen=True)
class Header:
    """What is known before the first case is run."""

    versions: Mapping[str, str]
    """Distribution -> version, as observed."""
    hardware: Mapping[str, str]
    selection: Selection
    planned: int
    """How many cases the run will have if nothing breaks it off."""
    started: str
    """ISO 8601, UTC."""
    suite: str = __version__
    schema: int = SCHEMA_VERSION

    @classmethod
    def now(
        cls,
        versions: Mapping[str, str],
        hardware: Mapping[str, str],
        selection: Selection,
        planned: int,
        clock: Clock = _utc_now,
    ) -> "Header":
        """Return the header of a run that starts now."""
        return cls(versions, hardware, selection, planned, _timestamp(clock))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return {**asdict(self), "selection": self.selection.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Header":
        """Rebuild a header from its line.

        Raises:
            KeyError, TypeError, ValueError: the dictionary is not a header.
        """
        selection = Selection.from_json(data["selection"])
        return cls(**{**data, "selection": selection, "planned": int(data["planned"])})


@dataclass(frozen=True)
class Footer:
    """What the cases came to."""

    counts: Tally
    unused: tuple[str, ...]
    """Names of active expectations that no measured case put to the test."""
    complete: bool
    """False when the run was broken off: some planned cases have no line."""
    finished: str
    """ISO 8601, UTC."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Footer":
        """Rebuild a footer from its line.

        Raises:
            KeyError, TypeError, ValueError: the dictionary is not a footer.
        """
        counts = Tally.from_json(data["counts"])
        return cls(counts, tuple(data["unused"]), data["complete"], data["finished"])


@dataclass(frozen=True)
class Result:
    """One case: what it gave, and what that is worth."""

    outcome: Outcome
    judgement: Judgement


@dataclass(frozen=True)
class Begun:
    """What a run wrote before it was broken off."""

    header: Header
    cases: Mapping[str, Result]
    """The cases whose lines are whole."""
    end: int
    """The offset behind the last of them."""


@dataclass(frozen=True)
class Results:
    """A whole results file."""

    header: Header
    cases: Mapping[str, Result]
    """By case id, in the order of the run."""
    footer: Footer

    @property
    def tally(self) -> Tally:
        """The counts, anew from the cases."""
        return tally(result.judgement for result in self.cases.values())


class ResultsWriter:
    """Writes a results file line by line, so that nothing measured is lost.

    Opening fails before an existing file is touched. `close` writes the footer; as a context
    manager it is closed at the end, and marked partial when an exception passes, Ctrl-C too. A
    file with fewer cases than its header planned is partial in any case.
    """

    def __init__(
        self, path: Path, header: Header, clock: Clock = _utc_now, begun: Begun | None = None
    ) -> None:
        """Open the file and write the header, or go on behind what was begun there.

        Raises:
            UsageError: the path cannot be written.
        """
        self.path = path
        self.unused: tuple[str, ...] = ()
        """Set it before the end of a full run: names of the unused expectations."""
        self._planned = header.planned
        held = begun.cases if begun else {}
        self._judgements = {case: result.judgement for case, result in held.items()}
        self._pending: tuple[int, bytes, Judgement] | None = None
        self._clock = clock
        line = _line("header", header.to_json())
        self._end = begun.end if begun else len(line)
        try:
            self._file = _open_behind(path, begun.end) if begun else _open_with(path, line)
        except OSError as error:
            raise results_unwritable(path, error) from None

    @property
    def held(self) -> tuple[Judgement, ...]:
        """The judgements that are in the file: at first those that were begun."""
        return tuple(self._judgements.values())

    def write(self, outcome: Outcome, judgement: Judgement) -> None:
        """Append a case and flush it.

        Raises:
            ValueError: the case is written already, or the judgement is of another case.
        """
        if outcome.case in self._judgements:
            raise ValueError(f"{outcome.case} is written already")
        if judgement.case != outcome.case:
            raise ValueError(f"a judgement of {judgement.case} for {outcome.case}")
        content = {"outcome": _encoded(outcome), "judgement": judgement.to_json()}
        self._pending = (self._end, _line("case", content), judgement)
        self._settle()

    def _settle(self) -> None:
        """Write the pending case; a second time does no harm, so Ctrl-C may come anywhere."""
        if self._pending is None:
            return
        start, line, judgement = self._pending
        self._file.seek(start)
        self._file.write(line)
        self._file.flush()
        self._judgements[judgement.case] = judgement
        self._end = start + len(line)
        self._pending = None

    def close(self, *, interrupted: bool = False) -> None:
        """Write the footer and close the file; the second time it does nothing."""
        if self._file.closed:
            return
        self._settle()
        footer = Footer(
            counts=tally(self._judgements.values()),
            unused=self.unused,
            complete=not interrupted and len(self._judgements) == self._planned,
            finished=_timestamp(self._clock),
        )
        with self._file:
            self._file.write(_line("footer", asdict(footer)))

    def __enter__(self) -> "ResultsWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(interrupted=kind is not None)


def read_results(path: Path) -> Results:
    """Read a whole results file.

    Raises:
        UsageError: it is missing, truncated, of another schema version, or contradicts itself.
    """
    first, *others = _read_lines(path)
    header = parse_header(path, first)
    if not others or others[-1].get("line") != "footer":
        raise UsageError(
            f"{path} is truncated: it has no footer, so the run that wrote it died or goes on; "
            "`conformance run --resume` finishes it"
        )
    cases = parse_cases(path, others[:-1])
    footer = _parsed(path, Footer.from_json, others[-1])
    _reconcile(path, Results(header, cases, footer))
    return Results(header, cases, footer)


def load_schema() -> dict[str, Any]:
    """Return the published JSON Schema of a line."""
    text = (files("conformance.judging") / "results.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _open_with(path: Path, header: bytes) -> BinaryIO:
    """Open without truncating: what is there stays until the header has been written over it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(handle, header)
        os.ftruncate(handle, len(header))
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "wb")


def _open_behind(path: Path, end: int) -> BinaryIO:
    file = path.open("r+b")
    file.truncate(end)
    file.seek(end)
    return file


def _timestamp(clock: Clock) -> str:
    return clock().astimezone(timezone.utc).isoformat(timespec="seconds")


def _line(kind: str, content: Mapping[str, Any]) -> bytes:
    return (json.dumps({"line": kind, **content}, allow_nan=False) + "\n").encode("ascii")


def _encoded(outcome: Outcome) -> dict[str, Any]:
    """JSON has no infinity, which is the SQNR of equal outputs: such measures are texts."""
    measures = {
        name: value if math.isfinite(value) else str(value)
        for name, value in outcome.measures.items()
    }
    return {**outcome.to_json(), "measures": measures}


def _decoded(data: Mapping[str, Any]) -> Outcome:
    measures = {
        name: float(value) if isinstance(value, str) else value
        for name, value in data["measures"].items()
    }
    return Outcome.from_json({**data, "measures": measures})


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = text_of(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot read the results {path}: {reason}; `conformance run` writes them"
        ) from None
    if not lines:
        raise UsageError(f"{path} is empty; run it again with `--results {path}`")
    return [parse_line(path, number, line, len(lines)) for number, line in enumerate(lines, 1)]


def parse_line(path: Path, number: int, line: str, total: int) -> dict[str, Any]:
    """Return the object of one line out of `total`, or raise `UsageError`."""
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if isinstance(data, dict):
        return data
    state = "truncated" if number == total else "damaged"
    raise UsageError(f"{path} is {state}: line {number} is not a JSON object; run it again")


def parse_header(path: Path, data: dict[str, Any]) -> Header:
    """Return the header, or raise `UsageError`: it is none, or of another schema version."""
    if command := data.get("kind"):
        raise UsageError(f"{path} is of `conformance {command}`; give a file of `conformance run`")
    if data.get("line") != "header":
        raise UsageError(f"{path} is no results file: it has no header; give a file of a run")
    if data.get("schema") != SCHEMA_VERSION:
        raise UsageError(
            f"{path} has schema version {data.get('schema')!r} and this suite reads version "
            f"{SCHEMA_VERSION}; use the suite version {data.get('suite')!r} that wrote it"
        )
    return _parsed(path, Header.from_json, data)


def parse_cases(path: Path, lines: Iterable[dict[str, Any]]) -> dict[str, Result]:
    """Return the results of case lines by case id.

    Raises:
        UsageError: a line is damaged, or a case is there twice.
    """
    cases: dict[str, Result] = {}
    for data in lines:
        result = _parsed(path, _result, data)
        if result.outcome.case in cases:
            raise UsageError(f"{path} holds the case {result.outcome.case} twice; run it again")
        cases[result.outcome.case] = result
    return cases


def _result(data: Mapping[str, Any]) -> Result:
    result = Result(_decoded(data["outcome"]), Judgement.from_json(data["judgement"]))
    case = result.outcome.case
    if not isinstance(case, str) or case != result.judgement.case:
        raise ValueError("outcome and judgement are of two cases")
    return result


def _parsed(
    path: Path, parse: Callable[[Mapping[str, Any]], Parsed], line: Mapping[str, Any]
) -> Parsed:
    kind = line.get("line")
    try:
        return parse({name: value for name, value in line.items() if name != "line"})
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise UsageError(f"{path} is damaged: bad {kind} line: {error!r}; run it again") from None


def _reconcile(path: Path, results: Results) -> None:
    written, planned = len(results.cases), results.header.planned
    if results.footer.counts != results.tally:
        raise UsageError(f"{path} contradicts itself: the footer counts other cases; run it again")
    if written > planned or (results.footer.complete and written != planned):
        raise UsageError(
            f"{path} contradicts itself: {written} cases of {planned} planned; run it again"
        )
