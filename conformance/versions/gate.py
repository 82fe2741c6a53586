"""May we upgrade? The same cases in two environments, side by side.

    Gate ──measured──> Side, Side ──compared──> Comparison ──retried──> Side, Side

`compared` is the pure comparison (`judging/comparison.py`); everything here runs something.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.case import all_cases
from conformance.errors import UsageError
from conformance.judging.comparison import Comparison, Row, Side
from conformance.judging.exchange import label
from conformance.judging.results import Results, read_results
from conformance.roundtrip.kept import Keep
from conformance.roundtrip.outcome import NoResultKind
from conformance.versions.exchange import DEFAULT, place_of
from conformance.versions.ready import Ready
from conformance.versions.runs import Asked, Run, Watcher, finished, run_all, whole

BASELINE, CANDIDATE, RETRY = "baseline", "candidate", "retry"
"""The names of the runs, and of their files in the directory of the gate."""
EXCHANGE, AGAIN = "exchange", "exchange-retry"
"""The names of what `gate_exchange` measures."""
CHECKPOINTS = "checkpoints"
"""The folder there that holds what the baseline wrote."""
SUMMARY = "gate.md"
"""The file there that says it for the summary of a CI job."""
ANSWER = "gate.json"
"""The file there that says what `--json` prints."""
REPORT = "report.html"
"""The file there that shows it to people."""
NAMES = (BASELINE, CANDIDATE, RETRY, EXCHANGE, AGAIN)

Sides = tuple[Side, Side]


@dataclass(frozen=True)
class Gate:
    """Two environments that are ready, and what to run in both."""

    baseline: Ready
    candidate: Ready
    asked: Asked
    directory: Path
    watcher: Watcher
    holding: tuple[int, ...] = ()
    """Descriptors that the runs inherit."""
    exchange: bool = True
    """Does the candidate read what the baseline wrote, too?"""
    seconds: dict[str, float] = field(default_factory=dict)
    """What each run took, by name; a run that an earlier gate finished has no entry."""

    def run(self, name: str) -> Run:
        """Return the run of this name."""
        ready = self.baseline if name == BASELINE else self.candidate
        keep = self.keep if name == BASELINE and self.exchange else None
        return Run(name, ready, self.asked, self.file(name), keep)

    @property
    def keep(self) -> Keep:
        """Where the baseline leaves the checkpoints that the exchange will want."""
        place = place_of(self.directory / CHECKPOINTS, label(self.baseline.versions))
        return Keep(place, ("*",) if self.asked.globs or self.asked.markers else DEFAULT)

    def file(self, name: str) -> Path:
        """Return where the results of a run go."""
        return self.directory / f"{name}.jsonl"

    @property
    def files(self) -> dict[str, Path]:
        """The results that are there, by the name of their run."""
        places = {name: self.file(name) for name in NAMES}
        return {name: path for name, path in places.items() if path.is_file()}


def forget(directory: Path) -> None:
    """Remove what an earlier gate left in the directory, for one that starts anew."""
    for name in NAMES:
        for suffix in (".jsonl", ".log", ".html"):
            (directory / f"{name}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)


def forget_answer(directory: Path) -> None:
    """Remove what an earlier gate answered: one that is broken off now has no answer."""
    for name in (ANSWER, SUMMARY, REPORT):
        (directory / name).unlink(missing_ok=True)


def measured(gate: Gate) -> Sides:
    """Run the cases in both environments, at the same time where there are cores for it.

    Raises:
        UsageError: the directory holds results of another gate.
        RunError: a run did not come to its end.
    """
    runs = [gate.run(BASELINE), gate.run(CANDIDATE)]
    at_once = 2 if 2 * gate.asked.workers <= (os.cpu_count() or 1) else 1
    _finish(gate, runs, at_once)
    baseline, candidate = runs
    return Side(whole(baseline)), Side(whole(candidate))


def retried(gate: Gate, sides: Sides, compared: Callable[[Side, Side], Comparison]) -> Sides:
    """Run once more, in the candidate, the cases that would block; both attempts are kept.

    A retry that an earlier gate in this directory finished counts, also when more is accepted now.

    Raises:
        RunError: the retry did not come to its end.
    """
    before, after = sides
    rows = compared(before, after).rows
    # A checkpoint of the baseline is no case that a run can be asked for: it is read again.
    blocking = tuple(row.case for row in rows if _may_differ(row) and row.case in all_cases())
    kept = _kept_retry(gate, after.run)
    if kept is None or not kept.cases.keys() >= set(blocking):
        kept = _retry(gate, blocking) if blocking else None
    return before, replace(after, retries=(kept,) if kept else ())


def _may_differ(row: Row) -> bool:
    """Would a case block, and may it end otherwise when it is run once more?

    What is skipped now is skipped again: machine and versions are the same.
    """
    ended = [each.judgement.no_result for each in row.after]
    return row.blocks and bool(ended) and NoResultKind.SKIPPED not in ended


def _kept_retry(gate: Gate, candidate: Results) -> Results | None:
    try:
        found = read_results(gate.file(RETRY))
    except UsageError:  # there is none, or it was broken off
        return None
    same = found.header.versions == candidate.header.versions
    return found if found.footer.complete and same else None


def _retry(gate: Gate, cases: tuple[str, ...]) -> Results:
    count = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
    gate.watcher.say(f"{count} would block; once more in the candidate")
    run = replace(gate.run(RETRY), asked=replace(gate.asked, globs=cases, markers=()))
    try:
        _finish(gate, [run], 1)
    except UsageError:  # what is there is the retry of other cases
        run.results.unlink()
        _finish(gate, [run], 1)
    return whole(run)


def _finish(gate: Gate, runs: Sequence[Run], at_once: int) -> None:
    """Run what an earlier gate in this directory did not finish."""
    left = [run for run in runs if finished(run) is None]
    gate.seconds.update(run_all(left, at_once, gate.watcher.watch, gate.holding))
