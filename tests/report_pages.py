"""Pages and results for the tests of the HTML report, with texts that would like to be markup."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs

from test_comparison import AXES, BREAKS, HUNG, PASS, compared, results
from test_comparison import NEW as NEW
from test_comparison import OLD as OLD
from test_exchange import CORRUPT, EQUAL, FAILED
from test_verdicts import finding

from conformance.judging.comparison import Comparison
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchange_results import ExchangeHeader, ExchangeResults
from conformance.judging.results import Results
from conformance.report.html import Known, Page, of_comparison, of_exchange, of_run
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
    Step,
)

A, B, C, D = AXES
EVIL = "</script><img src=x onerror=alert(1)><script>alert(2)</script><!-- ${1} {{ 7*7 }} &lt; '\"`"
"""What an exception may say. Nothing of it may happen."""
KNOWN = Known(AXES)
TIMED = Outcome(
    "",
    steps=(Step(Stage.SAVE, 0.5), Step(Stage.LOAD, 0.25), Step(Stage.LOAD, 1.5, Reader.FRESH)),
    measures={
        "sqnr_db": 34.4,
        "file_bytes": 130,
        "payload_bytes": 90,
        "payload_limit_bytes": 99,
        "bf16_bytes": 160,
    },
    files={"config.json": 30, "model.bin": 100},
)
HOSTILE = Outcome(
    "",
    findings=(Finding(EVIL, Stage.BITS, Harm.CORRUPT, EVIL, EVIL, EVIL, EVIL),),
    failure=Failure(Stage.LOAD, EVIL, EVIL, f"Traceback\n{EVIL}", leftovers=(EVIL,)),
    files={EVIL: 1},
    measures={EVIL: 1.0},
    storage_only=EVIL,
)
SKIPPED = Outcome("", no_result=NoResult(NoResultKind.SKIPPED, EVIL))


def a_run(**versions: str) -> Results:
    """One of each: a pass, a failure, a corruption, a skipped case."""
    held = {A: TIMED, B: HOSTILE, C: replace(TIMED, findings=(finding(),)), D: SKIPPED}
    return results(held, {**NEW, **versions}, planned=5)


def a_comparison() -> Comparison:
    """A case that breaks, one that is the same, one that is lost, one that is fixed."""
    after = {A: HOSTILE, B: BREAKS, C: HUNG, D: TIMED}
    return compared({A: TIMED, B: BREAKS, C: PASS, D: HOSTILE}, after)


def an_exchange() -> ExchangeResults:
    """Two writers and two readers of one case; a cell was not run."""
    old, new = "torchao0.17.0,diffusers1", "torchao0.18.0,diffusers1"
    environments = {old: {**OLD, "diffusers": "1"}, new: {**NEW, "diffusers": "1"}}
    evil = replace(HOSTILE, findings=())
    cells = (
        Cell(A, old, old, Readings(old, A, EQUAL, EQUAL)),
        Cell(A, old, new, Readings(old, A, evil, EQUAL, FAILED)),
        Cell(A, new, old, nothing=Nothing(Unmeasured.NOT_WRITTEN, EVIL)),
        Cell(A, new, new, Readings(new, A, CORRUPT, CORRUPT)),
        Cell(B, old, old, Readings(old, B, EQUAL, EQUAL)),
    )
    header = ExchangeHeader(environments, environments, (A, B), ("*",), "2026-01-01T00:00:00+00:00")
    return ExchangeResults(header, cells, complete=False)


def pages() -> dict[str, Page]:
    """One page of every kind."""
    exchange_axes = {case: {**axes, "route": "r", "subject": "s"} for case, axes in AXES.items()}
    return {
        "run": of_run(a_run(), KNOWN),
        "comparison": of_comparison(a_comparison(), KNOWN),
        "exchange": of_exchange(an_exchange(), Known(exchange_axes)),
    }


@dataclass
class Read(HTMLParser):
    """What a browser makes of a document, as far as the tests ask."""

    scripts: list[Mapping[str, str | None]] = field(default_factory=list)
    counts: list[tuple[int, str]] = field(default_factory=list)
    """Counts of the sentence, each with the filter behind its link."""
    total: int = -1
    tags: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    data: str = ""
    words: str = ""

    def __post_init__(self) -> None:
        """Prepare the parser, which is no dataclass."""
        super().__init__(convert_charrefs=True)
        self._inside = ""

    @classmethod
    def of(cls, document: str) -> "Read":
        """Read a whole document."""
        read = cls()
        read.feed(document)
        read.close()
        return read

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in an element."""
        given = dict(attrs)
        self.tags.add(tag)
        self.attributes |= given.keys()
        self._inside = given.get("id") or tag
        if tag == "script":
            self.scripts.append(given)
        self.links += [given["href"] or ""] if "href" in given else []
        self.sources += [value or "" for name, value in attrs if name in ("src", "data", "action")]
        if "data-count" in given:
            link = given.get("href") or "#?"
            self.counts.append((int(given["data-count"] or -1), link.partition("#?")[2]))
        if "data-total" in given:
            self.total = int(given["data-total"] or -1)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._inside = "" if tag else self._inside

    def handle_data(self, data: str) -> None:
        """Take in text."""
        if self._inside == "data":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.words += data

    @property
    def island(self) -> Any:
        """The data of the page."""
        return json.loads(self.data)

    def entries(self, query: str) -> int:
        """How many entries of the data pass the filter of a link: status, change or cause."""
        ((name, (value,)),) = parse_qs(query).items()
        texts, place = self.island["texts"], {"status": 5, "change": 7}[name]
        return sum(1 for entry in self.island["entries"] if texts[entry[place]] == value)
