"""What a report shows, as plain values: built of results by `of_run`, `of_comparison` and
`of_exchange`, drawn by `page`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from conformance.judging.defects import Defect
from conformance.judging.expectations import Expectation
from conformance.judging.judge import Judgement
from conformance.judging.summary import CauseGroup
from conformance.report.html.marks import Mark
from conformance.roundtrip.outcome import Outcome


@dataclass(frozen=True)
class Picture:
    """Something to look at."""

    title: str
    source: str
    """A data URI, or a link relative to the report."""
    links: tuple[tuple[str, str], ...] = ()
    """What else there is of it: words and a link relative to the report."""


@dataclass(frozen=True)
class Known:
    """What the suite knows beside a results file."""

    axes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The axis values of cases by id; a case that is not there has a row of its own."""
    expectations: Mapping[str, Expectation] = field(default_factory=dict)
    """By name, those of every version."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """The lowest SQNR that a scheme may have, in dB, by scheme."""
    defects: tuple[Defect, ...] = ()
    """The catalogue of known defects."""
    results: str = ""
    """The file with the results of round trips, for commands that people copy."""
    exchange: str = ""
    """The file with the readings of an exchange, likewise."""
    pictures: Mapping[str, tuple[Picture, ...]] = field(default_factory=dict)
    """What whole pipelines drew, by case."""


@dataclass(frozen=True)
class Part:
    """A piece of the sentence; one with a count is a link to the cells that it counts."""

    text: str
    count: int | None = None
    query: str = ""
    """The filter behind the link: `status=pass`."""


@dataclass(frozen=True)
class Sentence:
    """The answer, whose counts add up to `total`."""

    opening: str
    tone: str
    """A class of the style sheet: `good`, `bad` or `warn`."""
    parts: tuple[Part, ...]
    total: int
    what: str = "cases"
    query: str = ""
    """The filter that shows what the opening counts, if it counts something."""


@dataclass(frozen=True)
class Side:
    """The environment that wrote, or read, or did both."""

    title: str
    versions: Mapping[str, str]
    hardware: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One outcome that stands behind a cell."""

    title: str
    ending: str
    outcome: Outcome
    judgement: Judgement | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One cell of the matrix, and what its drawer shows."""

    id: str
    row: tuple[str, str]
    """Scheme and format."""
    column: tuple[str, str]
    """Subject and route, or writer and reader."""
    now: str
    """How it ended; a key of the page's marks."""
    was: str = ""
    """How it ended before, in a comparison."""
    label: str = ""
    """Its change, in a comparison."""
    alert: str = ""
    """Why it is not as it should be, in few words; empty when it is."""
    note: str = ""
    """One letter that stands beside: what blocks good weights, or that the output is not judged."""
    axes: Mapping[str, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    """Why there is no outcome."""
    sides: tuple[int, ...] = ()
    """The sides of the page that it is about."""
    commands: tuple[str, ...] = ()
    """What runs it again."""


@dataclass(frozen=True)
class CauseView:
    """The cells that ended alike, for people."""

    group: CauseGroup
    ending: str
    expectations: tuple[str, ...]
    """Names of those that foresee it."""
    defects: tuple[Defect, ...]
    """Entries of the catalogue that it is."""
    issue: str
    """Markdown, ready for a tracker."""
    commands: tuple[str, ...]
    """What reproduces the first of them."""
    kind: str = ""
    """Heading under which it stands: `Breaks`, `Not as expected`, ..."""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    kind: str
    """`run`, `comparison` or `exchange`."""
    title: str
    sentence: Sentence
    notes: tuple[str, ...]
    """What a reader must know besides the sentence."""
    marks: Mapping[str, Mark]
    entries: tuple[Entry, ...]
    causes: tuple[CauseView, ...]
    sides: tuple[Side, ...]
    columns: tuple[str, str]
    """What the two header rows of the matrix are."""
    facts: Mapping[str, str]
    """Small print: started, finished, suite, selection."""
    expectations: Mapping[str, Expectation]
    floors: Mapping[str, float]


def fragment(query: str) -> str:
    """Return the fragment that filters: `#?status=pass`."""
    return "#?" + quote(query, safe="=&,", errors="replace")


def permalink(entry_id: str) -> str:
    """Return the fragment that opens the drawer of a cell."""
    return "#" + quote(entry_id, safe="@>,", errors="replace")


def shell_quoted(text: str) -> str:
    """Return the text as one word of a shell, also where it needs no quotes: people edit it."""
    return "'" + text.replace("'", "'\\''") + "'"
