"""Round trips one after the other in one process: does its memory stay flat?"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from conformance.bench.suite import Figure
from conformance.case import find
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.engine import EndedError, Worker

TIMEOUT = 120.0
"""Seconds for a round trip."""
WARM_UP = 0.2
"""Share of the trips in which libraries import and caches fill."""
FIFTH = 0.2
AIM = 16 * 1024
"""Bytes by which its memory may grow with each trip: 16 MiB in a thousand."""
MIB = 2**20


@dataclass(frozen=True)
class Load:
    """The memory of one process after each of its round trips."""

    cases: tuple[str, ...]
    """What was done in turn, again and again."""
    resident: tuple[int, ...]
    """Resident bytes after each trip."""
    own: tuple[int, ...]
    """Bytes that are this process's alone, which no shared page hides."""

    @property
    def growth(self) -> float:
        """By how many bytes its resident memory grew with each trip after the warm-up."""
        begin, end = _ends(self.resident)
        return (end - begin) / (len(self.resident) * (1 - WARM_UP - FIFTH))

    @property
    def flat(self) -> bool:
        """Did it stay as it was?"""
        return self.growth <= AIM


def _ends(values: Sequence[int]) -> tuple[float, float]:
    """Return the medians of the first fifth after the warm-up and of the last."""
    begin, width = int(len(values) * WARM_UP), max(1, int(len(values) * FIFTH))
    return median(values[begin : begin + width]), median(values[-width:])


def measure(cases: Sequence[str], trips: int, tell: Callable[[int], None]) -> Load:
    """Do so many round trips of the cases in turn in one process.

    Args:
        cases: ids of the cases.
        trips: how many round trips; at least 10.
        tell: hears how many are done.

    Raises:
        UsageError: a round trip has no result, or there are too few.
    """
    if trips < 10:
        raise UsageError("fewer than 10 round trips say nothing of memory; ask for more")
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        carrier = Worker(carry, directory)
        try:
            seen = [*_seen(carrier, islice(cycle(cases), trips), tell)]
        finally:
            carrier.close()
    return Load(tuple(cases), tuple(rss for rss, _ in seen), tuple(uss for _, uss in seen))


def _seen(
    carrier: Worker, ids: Iterator[str], tell: Callable[[int], None]
) -> Iterator[tuple[int, int]]:
    for done, case_id in enumerate(ids, 1):
        carrier.send(case_id)
        try:
            reason, resident, own = carrier.receive(TIMEOUT)
        except EndedError as ended:
            raise UsageError(f"{case_id}: {ended}; leave it out with --select") from None
        if reason:
            raise UsageError(f"{case_id} has no result: {reason}; leave it out with --select")
        tell(done)
        yield resident, own


def carry(connection: Connection, place: str) -> None:
    """Write and verify cases, as ids, until None comes; answer with what memory there is."""
    directory = Path(place)
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        import psutil

        from conformance.roundtrip.run import write_and_verify
        from conformance.roundtrip.workshop import Workshop

        workshop, process = Workshop(directory / "workshop"), psutil.Process()
        while (case_id := connection.recv()) is not None:
            trip = directory / "trip"
            outcome = write_and_verify(find(case_id), workshop, trip, _silent)
            shutil.rmtree(trip, ignore_errors=True)
            memory = process.memory_full_info()
            reason = outcome.no_result.reason if outcome.no_result else ""
            connection.send((reason, memory.rss, memory.uss))


def _silent(_: Any) -> None:
    """Nobody listens to the stages."""


def figures(found: Load) -> list[Figure]:
    """Return what counts."""
    begin, end = _ends(found.resident)
    return [
        Figure("round trips in one process", float(len(found.resident)), "", ""),
        Figure("resident after the warm-up", begin / MIB, "MiB", ""),
        Figure("resident at the end", end / MIB, "MiB", ""),
        Figure(
            "growth for each further trip", found.growth / 1024, "KiB", f"at most {AIM // 1024}"
        ),
    ]


def as_json(found: Load) -> dict[str, Any]:
    """Return what was measured, and under what, ready for JSON."""
    begin, end = _ends(found.resident)
    return {
        "trips": len(found.own),
        "resident_after_the_warm_up": begin,
        "resident_at_the_end": end,
        "growth_for_each_trip": round(found.growth),
        "flat": found.flat,
        "versions": observed_versions(),
        "hardware": hardware(),
        "cases": list(found.cases),
        "resident_kib": [each // 1024 for each in found.resident],
        "own_kib": [each // 1024 for each in found.own],
    }


def save(path: Path, found: Load) -> None:
    """Write the numbers to `path`, and a plot beside it.

    Raises:
        UsageError: the path cannot be written.
    """
    try:
        path.write_text(json.dumps(as_json(found)) + "\n", encoding="utf-8")
        path.with_suffix(".svg").write_text(plot(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; name another") from None


WIDTH, HEIGHT, LEFT, BOTTOM = 640, 240, 64, 28


def plot(found: Load) -> str:
    """Draw both curves over the trips, from zero, as SVG."""
    top = max(found.resident) * 1.05

    def points(values: Sequence[int]) -> str:
        step = (WIDTH - LEFT) / max(1, len(values) - 1)
        return " ".join(
            f"{LEFT + at * step:.1f},{(HEIGHT - BOTTOM) * (1 - each / top):.1f}"
            for at, each in enumerate(values)
        )

    floor = HEIGHT - BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>Memory of one process over {len(found.own)} round trips</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<path d="M{LEFT} 0V{floor}H{WIDTH}" fill="none" stroke="#666"/>',
        f'<text x="4" y="{floor}">0</text>',
        f'<text x="4" y="14">{top / MIB:.0f} MiB</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">0</text>',
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end">'
        f"{len(found.own)} round trips</text>",
    ]
    for name, colour, values in (
        ("resident", "#b35900", found.resident),
        ("its own", "#005fb3", found.own),
    ):
        height = floor * (1 - values[-1] / top)
        lines += [
            f'<polyline points="{points(values)}" fill="none" stroke="{colour}"/>',
            f'<text x="{WIDTH - 8}" y="{height - 6:.0f}" text-anchor="end" fill="{colour}">'
            f"{name}, {values[-1] / MIB:.0f} MiB at the end</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])
