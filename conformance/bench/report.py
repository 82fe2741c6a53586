"""What an HTML report costs: the time to write it, its size, and how soon a browser shows it."""

import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from conformance.axes.base import Device
from conformance.bench.suite import Figure
from conformance.case import Case, all_cases
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.judging.judge import judge
from conformance.judging.results import Footer, Header, Result, Results, Selection
from conformance.judging.summary import tally
from conformance.report.browser import READY, chromium, missing, wait_until
from conformance.report.html import Known, of_run, render
from conformance.roundtrip.outcome import Failure, Finding, Harm, Outcome, Stage, Step
from conformance.session import axes_of

PAINT = "performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)[0]"
DRAWN = "performance.now()"


def measure(count: int, runs: int) -> Iterator[Figure]:
    """Yield what a report of so many cases costs; in a browser only where there is one.

    Raises:
        UsageError: there are fewer cases than that.
    """
    known = Known(axes_of(all_cases().values()))
    results = made_up(count)
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        document = render(of_run(results, known))
        seconds.append(time.perf_counter() - started)
    yield Figure("written in", median(seconds), "s", "")
    yield Figure("size", len(document.encode()) / 1e6, "MB", "under 5")
    yield from _shown(document, runs)


def made_up(count: int) -> Results:
    """Return results with as much in them as real ones have: some fail, some are altered."""
    every = [case for case in all_cases().values() if case.device is Device.CPU]
    if count > len(every):
        raise UsageError(f"there are {len(every)} CPU cases; ask for as many at most")
    kinds = cycle((_passes, _altered, _fails))
    outcomes = [make(case) for make, case in zip(kinds, islice(every, count), strict=False)]
    cases = {each.case: Result(each, judge(each, ())) for each in outcomes}
    start = "2026-01-01T00:00:00+00:00"
    header = Header(observed_versions(), hardware(), Selection(), count, start)
    return Results(
        header, cases, Footer(tally(each.judgement for each in cases.values()), (), True, start)
    )


def _passes(case: Case) -> Outcome:
    steps = tuple(Step(stage, 0.01234) for stage in Stage)
    sizes = {"file_bytes": 133566, "payload_bytes": 90688, "bf16_bytes": 161216, "sqnr_db": 34.4}
    files = {"config.json": 379, "diffusion_pytorch_model.bin": 133187}
    return Outcome(case.id, steps, measures=sizes, files=files)


def _altered(case: Case) -> Outcome:
    found = tuple(
        Finding(
            "requires_grad",
            Stage.STRUCTURE,
            Harm.ALTERED,
            f"blocks.{each}.to_q.weight",
            "requires_grad came back True",
            "False",
            "True",
        )
        for each in range(30)
    )
    return Outcome(case.id, _passes(case).steps, found, measures=_passes(case).measures)


def _fails(case: Case) -> Outcome:
    lines = "".join(
        f'  File "library/{each}.py", line {each}, in call\n    call()\n' for each in range(20)
    )
    message = f"{case.scheme.name} cannot be read"
    trace = f"Traceback (most recent call last):\n{lines}ValueError: {message}\n"
    return Outcome(case.id, failure=Failure(Stage.LOAD, "ValueError", message, trace))


def _shown(document: str, runs: int) -> Iterator[Figure]:
    if missing():
        return
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        path = Path(directory) / "report.html"
        path.write_text(document, encoding="utf-8")
        seen = [_open(browser, path) for _ in range(runs)]
    yield Figure("first paint after", median(paint for paint, _ in seen) / 1000, "s", "under 1")
    yield Figure("matrix drawn after", median(drawn for _, drawn in seen) / 1000, "s", "")


def _open(browser: Any, path: Path) -> tuple[float, float]:
    """Return milliseconds from the navigation to the first paint and to the drawn matrix."""
    tab = browser.new_page()
    tab.goto(path.as_uri())
    tab.wait_for_selector(READY)
    drawn = tab.evaluate(DRAWN)
    paint = wait_until(tab, PAINT)
    tab.close()
    return float(paint), float(drawn)
