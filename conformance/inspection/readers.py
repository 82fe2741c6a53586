"""Who can read a checkpoint: measured, for checkpoints of the same form.

`readers.json` is made by `conformance.inspection.measured` from the results of exchanges; the
command stands in the file.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from packaging.version import Version

from conformance._compat import StrEnum

DATA = Path(__file__).with_name("readers.json")


class Read(StrEnum):
    """What a reader gets, in order of harm; the letters of the exchange matrix."""

    EQUAL = "="
    ALTERED = "a"
    REFUSED = "R"
    FAILED = "F"
    DIFFERS = "O"
    CORRUPT = "C"

    @property
    def usable(self) -> bool:
        """Has the reader what the writer had?"""
        return self in (Read.EQUAL, Read.ALTERED)

    @property
    def words(self) -> str:
        """Say it."""
        return WORDS[self]


WORDS = {
    Read.EQUAL: "reads it (bits equal)",
    Read.ALTERED: "reads it (bits equal, something beside them is not)",
    Read.REFUSED: "refuses it clearly",
    Read.FAILED: "cannot read it",
    Read.DIFFERS: "loads it without an error and computes something else",
    Read.CORRUPT: "loads it without an error to other weights",
}
UNMEASURED = "."


class Sure(StrEnum):
    """How far what was measured is what was asked about."""

    MEASURED = "measured"
    """Checkpoints of exactly this form were read."""
    CLASSES = "by its classes"
    """Checkpoints with the same classes were read; inner tensors or attributes differ."""
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Row:
    """What readers got of the checkpoints of one form from one release."""

    forms: frozenset[str]
    """Fingerprints of the quantized weights."""
    outlines: frozenset[str]
    config: str
    """`Config.key`, or that there is no config.json."""
    scheme: str
    writer: str
    """Version of torchao."""
    loader: str
    """A letter a reader: the case's own loader."""
    weights: str
    """A letter a reader: the weight files alone."""
    cases: int


@dataclass(frozen=True)
class Measured:
    """The whole table."""

    readers: Mapping[str, Mapping[str, str]]
    """Versions that read, by that of torchao, oldest first."""
    rows: tuple[Row, ...]
    names: frozenset[str]
    """What the measured pickles name of torchao."""


@dataclass(frozen=True)
class Answer:
    """Who can read a checkpoint."""

    sure: Sure
    reads: Mapping[str, Read]
    """The worst that a version of torchao got, over everything that may have written it."""
    by_writer: Mapping[str, Mapping[str, Read]]
    """What each version got, by the version that wrote it."""
    weights: Mapping[str, Read]
    """The same of the weight files alone."""
    writers: tuple[str, ...]
    """Versions of torchao that wrote such checkpoints."""
    schemes: tuple[str, ...]
    """The measured schemes that look like this."""
    configured: bool
    """Was it measured with such a `config.json`, too?"""

    @property
    def mixed(self) -> tuple[str, ...]:
        """Versions for which it depends on the writer whether they can use it."""
        usable: dict[str, set[bool]] = {}
        for reads in self.by_writer.values():
            for version, read in reads.items():
                usable.setdefault(version, set()).add(read.usable)
        return tuple(version for version, found in usable.items() if len(found) > 1)

    @property
    def usable(self) -> tuple[str, ...]:
        """Versions that have what the writer had, whichever wrote it."""
        return tuple(version for version, read in self.reads.items() if read.usable)

    @property
    def unusable(self) -> tuple[str, ...]:
        """The others that were measured."""
        return tuple(version for version, read in self.reads.items() if not read.usable)


@lru_cache(maxsize=1)
def table(path: Path = DATA) -> Measured:
    """Return what was measured."""
    data: Any = json.loads(path.read_text(encoding="utf-8"))
    forms, configs = data["forms"], data["configs"]
    return Measured(
        readers=data["readers"],
        rows=tuple(_row(each, forms, configs) for each in data["rows"]),
        names=frozenset(data["names"]),
    )


def _row(given: Mapping[str, Any], forms: list[str], configs: list[str]) -> Row:
    held = [forms[number] for number in given["forms"]]
    return Row(
        forms=frozenset(held),
        outlines=frozenset(each.partition(" [")[0] for each in held),
        config=configs[given["config"]],
        **{name: given[name] for name in ("scheme", "writer", "loader", "weights", "cases")},
    )


NO_CONFIG = "no config.json"


def ask(forms: frozenset[str], config: str | None, measured: Measured) -> Answer:
    """Say who can read weights of these forms.

    Args:
        forms: Fingerprints of all quantized weights.
        config: `Config.key`, `NO_CONFIG`, or None when only the weight files are asked about.
        measured: What was measured.
    """
    sure, rows = _alike(forms, measured)
    configured = [row for row in rows if row.config == config]
    chosen = configured or rows
    letters = attrgetter("loader" if configured else "weights")
    writers = sorted({row.writer for row in chosen}, key=Version)
    return Answer(
        sure=sure,
        reads=_worst(_reads(letters(row), measured) for row in chosen),
        by_writer={
            writer: _worst(_reads(letters(row), measured) for row in chosen if row.writer == writer)
            for writer in writers
        },
        weights=_worst(_reads(row.weights, measured) for row in rows),
        writers=tuple(writers),
        schemes=tuple(sorted({row.scheme for row in chosen})),
        configured=bool(configured),
    )


def _alike(forms: frozenset[str], measured: Measured) -> tuple[Sure, list[Row]]:
    """Return the rows of these very forms; else of each form by itself; else of their classes."""
    if exact := [row for row in measured.rows if row.forms == forms]:
        return Sure.MEASURED, exact
    single = [row for row in measured.rows if len(row.forms) == 1 and row.forms <= forms]
    if forms and {form for row in single for form in row.forms} == forms:
        return Sure.MEASURED, single
    outlines = frozenset(each.partition(" [")[0] for each in forms)
    alike = [row for row in measured.rows if row.outlines and row.outlines <= outlines]
    if outlines and {each for row in alike for each in row.outlines} == outlines:
        return Sure.CLASSES, alike
    return Sure.UNKNOWN, []


def _reads(letters: str, measured: Measured) -> dict[str, Read]:
    pairs = zip(measured.readers, letters, strict=True)
    return {version: Read(letter) for version, letter in pairs if letter != UNMEASURED}


def worst(reads: Iterable[Read]) -> Read:
    """Return the most harmful."""
    return max(reads, key=list(Read).index)


def _worst(all_reads: Iterable[Mapping[str, Read]]) -> dict[str, Read]:
    found: dict[str, list[Read]] = {}
    for reads in all_reads:
        for version, read in reads.items():
            found.setdefault(version, []).append(read)
    return {version: worst(found[version]) for version in sorted(found, key=Version)}


def successors(answer: Answer, measured: Measured) -> Iterator[Row]:
    """Yield measured rows of the same scheme in another form that the newest release reads."""
    newest = len(measured.readers) - 1
    families = {each.partition("-v")[0] for each in answer.schemes}
    for row in measured.rows:
        same = row.scheme.partition("-v")[0] in families and row.writer in answer.usable
        letter = row.weights[newest]
        if same and letter != UNMEASURED and Read(letter).usable:
            yield row
