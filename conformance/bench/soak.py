"""Whole runs whose workers are killed at random: is a result lost, or counted twice?"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from conformance.errors import UsageError
from conformance.judging.results import read_results
from conformance.judging.summary import ExitCode
from conformance.roundtrip.outcome import NoResultKind
from conformance.selection import chosen

SERVER = "multiprocessing.forkserver"
"""What the command line of the process that workers are forked from has in it."""
PAUSE = (0.2, 2.0)
"""Least and most seconds between two kills."""


@dataclass(frozen=True)
class Round:
    """One run under fire."""

    kills: int
    code: int
    """The exit code."""
    lines: tuple[str, ...]
    """The case of every result line, in order."""
    killed: tuple[str, ...]
    """Cases whose result says that their process was killed."""
    verdicts: Mapping[str, str]
    """What the others gave."""


@dataclass(frozen=True)
class Soak:
    """All rounds, and what a quiet run of the same cases gave."""

    quiet: Mapping[str, str]
    rounds: tuple[Round, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """Cases that a round has no line for."""
        return tuple(
            sorted(case for each in self.rounds for case in self.quiet.keys() - set(each.lines))
        )

    @property
    def twice(self) -> tuple[str, ...]:
        """Cases that a round has more than one line for."""
        counts = (Counter(each.lines) for each in self.rounds)
        return tuple(sorted(case for each in counts for case, times in each.items() if times > 1))

    @property
    def otherwise(self) -> tuple[str, ...]:
        """Cases whose verdict under fire is another than in the quiet run."""
        return tuple(
            sorted(
                case
                for each in self.rounds
                for case, verdict in each.verdicts.items()
                if self.quiet.get(case) != verdict
            )
        )

    @property
    def uncounted(self) -> int:
        """Rounds that had killed cases and ended as if all had been as expected."""
        return sum(1 for each in self.rounds if each.killed and each.code == ExitCode.AS_EXPECTED)

    @property
    def sound(self) -> bool:
        """Was nothing lost, doubled, changed or glossed over?"""
        return not (self.lost or self.twice or self.otherwise or self.uncounted)

    def as_json(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        return {
            "cases": len(self.quiet),
            "rounds": len(self.rounds),
            "kills": sum(each.kills for each in self.rounds),
            "results": sum(len(each.lines) for each in self.rounds),
            "killed": sum(len(each.killed) for each in self.rounds),
            "lost": list(self.lost),
            "twice": list(self.twice),
            "otherwise": list(self.otherwise),
            "uncounted": self.uncounted,
            "sound": self.sound,
        }


def measure(
    globs: Sequence[str], minutes: float, workers: int, seed: int, tell: Callable[[str], None]
) -> Soak:
    """Run the cases again and again for so long, killing workers at random.

    Args:
        globs: which cases.
        minutes: how long to begin further runs.
        workers: engines at work in each run.
        seed: of the kills.
        tell: hears of each run.

    Raises:
        UsageError: a glob matches nothing, or the quiet run has cases without a result.
    """
    chosen(globs, ())
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        tell("a quiet run, to compare with")
        quiet = _round(globs, workers, Path(directory) / "quiet.jsonl", None)
        if quiet.killed or quiet.code not in (ExitCode.AS_EXPECTED, ExitCode.NOT_AS_EXPECTED):
            raise UsageError("the quiet run gave no results to compare with; `conformance run`")
        rounds: list[Round] = []
        until = time.monotonic() + 60 * minutes
        while not rounds or time.monotonic() < until:
            path = Path(directory) / f"{len(rounds)}.jsonl"
            rounds.append(_round(globs, workers, path, dice))
            each = rounds[-1]
            tell(f"run {len(rounds)}: {each.kills} kills, {len(each.killed)} cases killed")
    return Soak(quiet.verdicts, tuple(rounds))


def _round(globs: Sequence[str], workers: int, path: Path, dice: random.Random | None) -> Round:
    selected = [part for glob in globs for part in ("--select", glob)]
    command = [sys.executable, "-m", "conformance.cli", "run", *selected]
    with subprocess.Popen(
        [*command, "-n", str(workers), "--results", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        kills = _fire(run, dice) if dice else 0
        code = run.wait()
    return _read(path, kills, code)


def _fire(run: subprocess.Popen[bytes], dice: random.Random) -> int:
    """Kill workers until the run has ended, and return how many."""
    kills = 0
    while run.poll() is None:
        time.sleep(dice.uniform(*PAUSE))
        workers = sorted(workers_of(run.pid))
        if workers and run.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(dice.choice(workers), signal.SIGKILL)
                kills += 1
    return kills


def workers_of(process: int) -> set[int]:
    """Return the ids of the workers of a run: what its server has forked."""
    found = set()
    with suppress(psutil.Error):
        for child in psutil.Process(process).children(recursive=True):
            with suppress(psutil.Error):
                parent = child.parent()
                if parent and parent.pid != process and _is_server(parent):
                    found.add(child.pid)
    return found


def _is_server(process: psutil.Process) -> bool:
    return any(SERVER in each for each in process.cmdline())


def _read(path: Path, kills: int, code: int) -> Round:
    results = read_results(path)
    judged = results.cases.values()
    return Round(
        kills=kills,
        code=code,
        lines=tuple(lines_of(path.read_text(encoding="utf-8").splitlines())),
        killed=tuple(
            each.outcome.case
            for each in judged
            if each.outcome.no_result and each.outcome.no_result.kind is NoResultKind.KILLED
        ),
        verdicts={
            each.outcome.case: str(each.judgement.verdict)
            for each in judged
            if not each.outcome.no_result
        },
    )


def lines_of(lines: Iterable[str]) -> Iterable[str]:
    """Yield the case of each result line: the file itself is counted, not what was made of it."""
    import json

    for line in lines:
        told = json.loads(line)
        if told["line"] == "case":
            yield told["outcome"]["case"]
