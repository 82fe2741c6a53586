"""The report of an exchange: who reads what whom wrote."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from conformance.judging.exchange import Cell, Exchanged, counts
from conformance.judging.exchange_results import ExchangeResults
from conformance.judging.judge import judge
from conformance.judging.results import Result
from conformance.judging.signature import Cause, cause_of
from conformance.judging.summary import CauseGroup, shared_axes
from conformance.report.html.causes import cause_view, exchange_commands
from conformance.report.html.marks import EXCHANGE, NOT_RUN
from conformance.report.html.view import (
    Attempt,
    CauseView,
    Entry,
    Known,
    Page,
    Part,
    Sentence,
    Side,
)
from conformance.report.matrix import BLOCKED
from conformance.roundtrip.outcome import Outcome

NOT_USABLE = "Not usable"
ROW = ("format", "route", "subject")


def of_exchange(results: ExchangeResults, known: Known) -> Page:
    """Return the report of an exchange."""
    header = results.header
    sides = _sides(results)
    places = {(each.title.partition(" ")[0], _label(each)): at for at, each in enumerate(sides)}
    entries = sorted((_entry(cell, results, known, places) for cell in results.cells), key=_order)
    return Page(
        kind="exchange",
        title=f"{_count(header.writers, 'writer')}, {_count(header.readers, 'reader')}",
        sentence=_sentence(results),
        notes=tuple(_notes(results)),
        marks=EXCHANGE,
        entries=tuple(entries),
        causes=tuple(_causes(results, known)),
        sides=sides,
        columns=("writer", "reader"),
        facts={
            "suite": header.suite,
            "started": header.started,
            "selection": " ".join(header.globs),
        },
        expectations=known.expectations,
        floors={},
    )


def _count(things: Mapping[str, object], word: str) -> str:
    return f"1 {word}" if len(things) == 1 else f"{len(things)} {word}s"


def _sides(results: ExchangeResults) -> tuple[Side, ...]:
    header = results.header
    writers = (Side(f"writer {name}", each) for name, each in header.writers.items())
    readers = (Side(f"reader {name}", each) for name, each in header.readers.items())
    return (*writers, *readers)


def _label(side: Side) -> str:
    return side.title.partition(" ")[2]


def short_names(environments: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Name each environment by its torchao where nothing else tells it from the others."""
    names = {label: versions.get("torchao", label) for label, versions in environments.items()}
    return names if len(set(names.values())) == len(names) else {each: each for each in names}


def _entry(
    cell: Cell, results: ExchangeResults, known: Known, places: Mapping[tuple[str, str], int]
) -> Entry:
    header, axes = results.header, known.axes.get(cell.case, {})
    writer = short_names(header.writers)[cell.writer]
    reader = short_names(header.readers)[cell.reader]
    return Entry(
        id=cell.id,
        row=_row(cell.case, axes),
        column=(f"written by {writer}", reader),
        now=str(cell.verdict or cell.unmeasured),
        alert=f"blocked by {cell.blocked_by}" if cell.blocked_by else "",
        note=BLOCKED.get(cell.blocked_by, ""),
        axes={**axes, "writer": writer, "reader": reader},
        attempts=tuple(_attempts(cell)),
        reason=cell.nothing.reason if cell.nothing else "",
        sides=(places["writer", cell.writer], places["reader", cell.reader]),
        commands=_commands(cell, results, known),
    )


def _order(entry: Entry) -> tuple[str, ...]:
    """Rows that differ in the subject only stand together; columns keep the order of the file."""
    return tuple(entry.axes.get(axis, "") for axis in ("scheme", "route", "format", "subject"))


def _row(case_id: str, axes: Mapping[str, str]) -> tuple[str, str]:
    """Every case has a row: whose columns are writers and readers leave none for a subject."""
    if not axes:
        return (case_id, "")
    device = axes.get("device", "cpu")
    words = (*(axes.get(axis) for axis in ROW), "" if device == "cpu" else device)
    return axes.get("scheme", ""), " · ".join(word for word in words if word)


def _attempts(cell: Cell) -> Iterator[Attempt]:
    if cell.readings is None:
        return
    ways: tuple[tuple[str, Outcome | None, Exchanged | None], ...] = (
        ("by the format's own loader", cell.readings.loader, cell.verdict),
        ("by the weight files alone", cell.readings.weights, cell.weights),
        ("what diffusers makes of config.json", cell.readings.config, cell.config),
    )
    for title, outcome, verdict in ways:
        if outcome is not None:
            yield Attempt(title, str(verdict or "no result"), outcome)


def _commands(cell: Cell, results: ExchangeResults, known: Known) -> tuple[str, ...]:
    header = results.header
    writer, reader = header.writers[cell.writer], header.readers[cell.reader]
    found = exchange_commands(cell.id, cell.case, writer, reader, known.exchange)
    return found if cell.readings else found[1:]  # a script shows what was read


def _sentence(results: ExchangeResults) -> Sentence:
    header, cells = results.header, results.cells
    verdicts = [cell.verdict for cell in cells if cell.verdict is not None]
    bad = sum(1 for each in verdicts if not each.usable)
    parts = [Part(name, count, f"status={name}") for name, count in counts(cells).items() if count]
    missing = header.planned - len(cells)
    if missing:
        parts.append(Part(NOT_RUN, missing))
    if not verdicts:
        opening, tone = "Inconclusive, nothing was read.", "warn"
    elif bad:
        opening, tone = f"{bad} of {len(verdicts)} readings are not usable.", "bad"
    else:
        opening, tone = f"All {len(verdicts)} readings are usable.", "good"
    return Sentence(opening, tone, tuple(parts), header.planned, "cells")


def _notes(results: ExchangeResults) -> Iterator[str]:
    blocked = sum(1 for cell in results.cells if cell.blocked_by)
    if blocked:
        which = "1 cell" if blocked == 1 else f"{blocked} cells"
        yield (
            f"{which} would be usable by the weights alone: config.json (c) or the loader (l) "
            "stands before them."
        )
    if not results.complete:
        yield "The exchange was broken off; `conformance exchange --resume` goes on."


def _causes(results: ExchangeResults, known: Known) -> Iterator[CauseView]:
    """Group what is not usable by cause, most harmful first, then by how many cells it has."""
    found: dict[tuple[Exchanged, Cause], list[Cell]] = {}
    for cell in results.cells:
        cause = None if cell.readings is None else cause_of(cell.readings.loader)
        if cell.verdict is not None and cause is not None and not cell.verdict.usable:
            found.setdefault((cell.verdict, cause), []).append(cell)
    axes = {
        cell.id: {**known.axes.get(cell.case, {}), "writer": cell.writer, "reader": cell.reader}
        for cell in results.cells
    }
    order = sorted(found, key=lambda key: (-key[0].harm, -len(found[key]), key[1].worst_first))
    for verdict, cause in order:
        group = _group(cause, found[verdict, cause], axes)
        yield _view(verdict, group, found[verdict, cause], results, known)


def _group(
    cause: Cause, cells: Iterable[Cell], axes: Mapping[str, Mapping[str, str]]
) -> CauseGroup:
    ids = tuple(sorted(cell.id for cell in cells))
    everywhere, shared = shared_axes(axes, axes), shared_axes(ids, axes)
    own = {axis: value for axis, value in shared.items() if everywhere.get(axis) != value}
    return CauseGroup(cause, ids, 0, own)


def _view(
    verdict: Exchanged,
    group: CauseGroup,
    cells: Iterable[Cell],
    results: ExchangeResults,
    known: Known,
) -> CauseView:
    by_id = {cell.id: cell for cell in cells}
    first = by_id[group.cases[0]]
    outcomes = {each: cell.readings.loader for each, cell in by_id.items() if cell.readings}
    judged = {each: Result(outcome, judge(outcome, ())) for each, outcome in outcomes.items()}
    reader = Side(f"reader {first.reader}", results.header.readers[first.reader])
    again = _commands(first, results, known)
    view = cause_view(group, judged, known, reader, NOT_USABLE, again)
    return replace(view, ending=str(verdict))
