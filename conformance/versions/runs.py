"""`conformance run` in other environments: started, watched, broken off, gone on with.

A run writes its own results file, line by line, and finishes one that was broken off; whoever
starts it only looks at that file. What it prints goes to a log beside the file.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from conformance.errors import UsageError
from conformance.judging.parts import read_begun
from conformance.judging.results import Header, Results, Selection, read_results
from conformance.roundtrip.engine import TIMEOUT
from conformance.roundtrip.kept import Keep
from conformance.versions.ready import Ready, start_in

TICK = 0.1
"""Seconds between two looks at the runs."""
GRACE = 15.0
"""Seconds that a run has to end after Ctrl-C before it is killed; its file is whole either way."""
WORDS = 400
"""Characters kept of what a run said last."""


@dataclass(frozen=True)
class Asked:
    """Which cases to run, how many engines work on them, and how long one case may take."""

    globs: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    workers: int = 1
    timeout: float = TIMEOUT
    """Seconds for one case, or for one reading of a checkpoint."""

    @property
    def selection(self) -> Selection:
        """As the header of a results file names it."""
        return Selection(self.globs, self.markers)


@dataclass(frozen=True)
class Run:
    """One run in one environment, and where its results go."""

    name: str
    ready: Ready
    asked: Asked
    results: Path
    keep: Keep | None = None
    """Where its checkpoints stay."""

    @property
    def log(self) -> Path:
        """What the run printed."""
        return self.results.with_suffix(".log")

    @property
    def begun(self) -> bool:
        """Is there a file to go on with?"""
        return self.results.is_file() and b"\n" in self.results.read_bytes()

    @property
    def arguments(self) -> list[str]:
        """The command, for the Python of the environment."""
        asked = self.asked
        return [
            *("-m", "conformance.cli", "run", "--results", str(self.results.absolute())),
            *(part for glob in asked.globs for part in ("--select", glob)),
            *(part for marker in asked.markers for part in ("--marker", marker)),
            *("-n", str(asked.workers), "--timeout", str(asked.timeout)),
            *(["--resume"] if self.begun else []),
            *(self._keeping(self.keep) if self.keep else []),
        ]

    def _keeping(self, keep: Keep) -> list[str]:
        only = (part for glob in keep.globs for part in ("--keep-only", glob))
        return ["--keep", str(keep.directory.absolute()), *only]


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int = 0
    planned: int = 0
    """0 until the run has begun its file."""


Watch = Callable[[Mapping[str, Progress]], None]
"""Is told now and then how far each run is, by name."""


class Watcher(Protocol):
    """Shows to somebody how far some runs are."""

    def say(self, what: str) -> None:
        """Tell what begins."""

    def watch(self, progress: Mapping[str, Progress]) -> None:
        """Take in how far the runs are."""


class RunError(Exception):
    """A run came to no whole results. The message says why on one line."""


def finished(run: Run) -> Results | None:
    """Return the results when an earlier run finished them; None when there is something to run.

    Raises:
        UsageError: the file is of another run, of another schema version, or damaged.
    """
    if not run.begun:
        return None
    begun = read_begun(run.results)
    if what := _other(begun.header, run):
        raise UsageError(
            f"{run.results} is of another run: {what}; "
            "give the options of the first one, or another --results"
        )
    if len(begun.cases) < begun.header.planned:
        return None
    with suppress(UsageError):  # the footer may be missing: going on with the run writes it
        return read_results(run.results)
    return None


def _other(header: Header, run: Run) -> str:
    """Say in what the run that wrote the file differs from this one; empty when in nothing."""
    for name, version in run.ready.versions.items():
        if header.versions.get(name, version) != version:
            return f"{name} {header.versions[name]} and {version}"
    return "" if header.selection == run.asked.selection else "other globs or markers"


def run_all(
    runs: Sequence[Run], at_once: int, watch: Watch, holding: Sequence[int] = ()
) -> dict[str, float]:
    """Run them to their ends, some at once; returns what each took, in seconds.

    An exception, Ctrl-C too, breaks off all runs in their own way: they keep what they measured.

    Args:
        runs: what to run; a file that was begun is finished.
        at_once: how many run at the same time.
        watch: is told how far they are.
        holding: descriptors that the runs inherit.
    """
    waiting, going, took = list(runs), dict[str, _Going](), dict[str, float]()
    try:
        while waiting or going:
            while waiting and len(going) < at_once:
                run = waiting.pop(0)
                going[run.name] = _Going(run, holding)
            for name in [name for name, each in going.items() if each.ended]:
                took[name] = going[name].seconds
                watch({name: going.pop(name).progress()})
            watch({name: each.progress() for name, each in going.items()})
            time.sleep(TICK if going else 0)
    except BaseException:
        _stop([each.process for each in going.values()])
        raise
    return took


class _Going:
    """A run that goes on."""

    def __init__(self, run: Run, holding: Sequence[int]) -> None:
        self._results = run.results
        self._offset = self._lines = self._planned = 0
        self._started = time.monotonic()
        arguments = run.arguments
        with run.log.open("ab" if run.begun else "wb") as log:
            # A session of its own: Ctrl-C in a terminal reaches the gate alone, which passes it on.
            self.process = start_in(
                run.ready,
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(holding),
                start_new_session=True,
                preexec_fn=_heed_ctrl_c,
            )

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def progress(self) -> Progress:
        """Read what was added to the file since the last look."""
        with suppress(OSError), self._results.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            if self._offset == 0 and whole:
                self._planned = _planned(whole)
            self._offset += len(whole)
            self._lines += whole.count(b"\n")
        return Progress(min(max(0, self._lines - 1), self._planned), self._planned)


def _heed_ctrl_c() -> None:
    """Let `_stop` reach a run, also where a shell started the gate with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _planned(content: bytes) -> int:
    try:
        return int(json.loads(content.splitlines()[0])["planned"])
    except (ValueError, KeyError, TypeError):
        return 0


def _stop(processes: Sequence["subprocess.Popen[str]"]) -> None:
    """Break off as Ctrl-C does; kill what does not end, also when Ctrl-C comes once more."""
    try:
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def whole(run: Run) -> Results:
    """Return the results of a run that ended.

    Raises:
        RunError: they are not whole; with what the run said last.
    """
    try:
        results = read_results(run.results)
    except UsageError:
        results = None
    if results is None or not results.footer.complete:
        raise RunError(f"the run {run.name} did not end: {_last_words(run.log)}; log: {run.log}")
    return results


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][-WORDS:] if said else "it said nothing and died"


@contextmanager
def ending_like_ctrl_c() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: what a CI sends to a job that it cancels."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
