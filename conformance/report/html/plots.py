"""What people would rather look at than read: geometry of the plots, which a template draws."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from conformance.report.html.view import Entry, Page
from conformance.roundtrip.outcome import Outcome, Reader, Stage

LABEL, WIDTH, ROW = 170, 440, 22
"""Columns for the names and for the bars, and the height of a row, in units of the drawing."""
CUT = 1.5
"""Times the bytes of bf16, behind which a bar is cut: one padded scheme would dwarf the others."""
NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Shape:
    """A bar from `start` to `end`, or a tick or a dot at `start`, in units of the drawing."""

    kind: str
    """A class of the style sheet: `files`, `payload`, `limit`, `bf16`, `dot`, `range`, ..."""
    start: float
    end: float = 0.0


@dataclass(frozen=True)
class Line:
    """One row of a plot."""

    label: str
    value: str
    shapes: tuple[Shape, ...]
    told: str
    """The same in words, for who does not see it."""


@dataclass(frozen=True)
class Plot:
    """One plot with its scale."""

    title: str
    caption: str
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    """Place and label."""
    keys: tuple[tuple[str, str], ...]
    """Legend: class of the style sheet and meaning."""

    @property
    def height(self) -> int:
        """Units of the drawing."""
        return len(self.lines) * ROW + 26


def plots(page: Page) -> tuple[Plot, ...]:
    """Return the plots that the page has numbers for."""
    found = [*_bytes(page), *_sqnr(page), *_times(page)]
    return tuple(each for each in found if each.lines)


def _first(entries: Iterable[Entry]) -> Iterator[tuple[Entry, Outcome]]:
    """The outcome that a cell shows: the first attempt."""
    return ((each, each.attempts[0].outcome) for each in entries if each.attempts)


def _by_subject(page: Page) -> dict[str, dict[str, list[Outcome]]]:
    """Outcomes of round trips by subject and scheme."""
    found: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for entry, outcome in _first(page.entries):
        if {"scheme", "subject"} <= entry.axes.keys() and "kind" not in entry.axes:
            found[entry.axes["subject"]][entry.axes["scheme"]].append(outcome)
    return found


def _values(outcomes: Iterable[Outcome], measure: str) -> list[float]:
    found = (each.measures.get(measure) for each in outcomes)
    return [value for value in found if value is not None and not math.isnan(value)]


def _scale(top: float) -> tuple[float, float]:
    """Return the end of a scale and the step of its ticks, both round numbers."""
    power = 10 ** math.floor(math.log10(max(top, 1e-9) / 4))
    step = next(nice * power for nice in NICE if nice * power * 5 >= top)
    return step * max(1, math.ceil(top / step)), step


def _ticks(end: float, step: float, unit: str) -> tuple[tuple[float, str], ...]:
    return tuple(
        (LABEL + WIDTH * at * step / end, f"{at * step:g}{unit}")
        for at in range(round(end / step) + 1)
    )


def size_text(size: float) -> str:
    """Return bytes for people."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _bytes(page: Page) -> Iterator[Plot]:
    for subject, schemes in _by_subject(page).items():
        rows = {}
        for scheme, outcomes in schemes.items():
            columns = [_values(outcomes, each) for each in BYTES]
            if columns[0] and columns[1] and columns[2]:
                rows[scheme] = [median(each) if each else None for each in columns]
        yield _bytes_plot(subject, rows)


BYTES = ("file_bytes", "payload_bytes", "bf16_bytes", "payload_limit_bytes")


def _bytes_plot(subject: str, rows: dict[str, list[float | None]]) -> Plot:
    ratios = {name: [_ratio(each, row[2]) for each in row] for name, row in rows.items()}
    top = max((each for row in ratios.values() for each in row if each), default=1.0)
    end, step = _scale(100 * min(top, CUT))
    order = sorted(ratios, key=lambda name: (ratios[name][1] or 0, name))
    return Plot(
        f"Bytes on disk: {subject}",
        "Median over the formats of each scheme, as a share of the bf16 state dict. The payload is "
        "tensor data, the rest of a file its headers and structure, which weigh much in a tiny "
        "model. A bar that leaves the scale ends in an arrow.",
        tuple(_bytes_line(name, rows[name], ratios[name], end) for name in order),
        _ticks(end, step, "%"),
        (
            ("payload", "payload"),
            ("files", "whole files"),
            ("limit", "payload limit"),
            ("bf16", "bf16"),
        ),
    )


def _ratio(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None


def _at(value: float, end: float) -> float:
    return round(LABEL + WIDTH * min(value / end, 1.0), 1)


def _bytes_line(name: str, row: list[float | None], ratios: list[float | None], end: float) -> Line:
    files, payload, _, limit = (None if each is None else _at(100 * each, end) for each in ratios)
    shapes = [Shape("files", LABEL, files or LABEL), Shape("payload", LABEL, payload or LABEL)]
    shapes.append(Shape("bf16", _at(100, end)))
    if limit is not None:
        shapes.append(Shape("limit", limit))
    if max(each or 0 for each in ratios) * 100 > end:
        shapes.append(Shape("beyond", LABEL + WIDTH))
    words = [size_text(each) if each is not None else "unknown" for each in row]
    told = f"{name}: payload {words[1]} of at most {words[3]}, files {words[0]}, bf16 {words[2]}"
    return Line(name, f"{100 * (ratios[1] or 0):.0f}%", tuple(shapes), told)


def _sqnr(page: Page) -> Iterator[Plot]:
    for subject, schemes in _by_subject(page).items():
        found = {name: _values(outcomes, "sqnr_db") for name, outcomes in schemes.items()}
        rows = {name: values for name, values in found.items() if values}
        finite = [each for values in rows.values() for each in values if math.isfinite(each)]
        floors = [page.floors[name] for name in rows if name in page.floors]
        end, step = _scale(max((*finite, *floors), default=10.0))
        order = sorted(rows, key=lambda name: (-median(rows[name]), name))
        yield Plot(
            f"Signal to quantization noise: {subject}",
            "Output of the quantized model against the bf16 model, median and range over the "
            "cases of each scheme. More is better; the tick is the floor that the scheme must "
            "reach.",
            tuple(_sqnr_line(each, rows[each], page.floors.get(each), end) for each in order),
            _ticks(end, step, " dB"),
            (("dot", "median"), ("range", "lowest to highest"), ("limit", "floor")),
        )


def _sqnr_line(name: str, values: list[float], floor: float | None, end: float) -> Line:
    low, middle, high = min(values), median(values), max(values)
    places = [_at(max(0.0, each), end) for each in (low, middle, high)]
    shapes = [Shape("range", places[0], places[2]), Shape("dot", places[1])]
    told = f"{name}: median {_decibel(middle)}, lowest {_decibel(low)}, highest {_decibel(high)}"
    if floor is not None:
        shapes.append(Shape("limit", _at(max(0.0, floor), end)))
        told += f", floor {floor:g} dB"
    return Line(name, _decibel(middle), tuple(shapes), told)


def _decibel(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f} dB" if math.isfinite(value) else "∞ dB"


def _times(page: Page) -> Iterator[Plot]:
    sides = {"": 0} if page.kind != "comparison" else {"after": 0, "before": 1}
    sums = {side: _seconds(page, side) for side in sides}
    top = max((sum(each) for stages in sums.values() for each in stages.values()), default=0.0)
    if not top:
        return
    end, step = _scale(top)
    lines = (
        _time_line(stage, side, sums[side][stage], end)
        for stage in Stage
        for side in sides
        if stage in sums[side]
    )
    yield Plot(
        "Time per stage",
        "Seconds of all cases together. Models are built and quantized once for many cases.",
        tuple(lines),
        _ticks(end, step, " s"),
        (("payload", "writing process"), ("files", "fresh process")),
    )


def _seconds(page: Page, side: str) -> dict[Stage, tuple[float, float]]:
    """Return by stage the seconds in the writing and in the fresh process."""
    found: dict[Stage, tuple[float, float]] = {}
    for entry in page.entries:
        attempt = next((each for each in entry.attempts if each.title == side or not side), None)
        for step in attempt.outcome.steps if attempt else ():
            same, fresh = found.get(step.stage, (0.0, 0.0))
            own = step.reader is not Reader.FRESH
            added = (same + step.seconds, fresh) if own else (same, fresh + step.seconds)
            found[step.stage] = added
    return found


def _time_line(stage: Stage, side: str, seconds: tuple[float, float], end: float) -> Line:
    same, fresh = seconds
    middle, last = _at(same, end), _at(same + fresh, end)
    label = f"{stage} {side}".rstrip()
    told = f"{label}: {same:.2f} s in the writing process, {fresh:.2f} s in a fresh one"
    shapes = (Shape("payload", LABEL, middle), Shape("files", middle, last))
    return Line(label, f"{same + fresh:.1f} s", shapes, told)
