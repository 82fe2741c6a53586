"""What a gate costs: against the two plain runs that it cannot do without."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.bench.suite import Figure
from conformance.errors import UsageError
from conformance.selection import chosen
from conformance.versions.environments import find, load_environments
from conformance.versions.gate import ANSWER, BASELINE, CANDIDATE
from conformance.versions.make import ready, tools
from conformance.versions.ready import NotReady, Ready
from conformance.versions.runs import Asked, Run, RunError, run_all, whole

AIM = "at most 1.15"


def measure(
    pair: Sequence[str], globs: Sequence[str], workers: int, tell: Callable[[str], None]
) -> list[Figure]:
    """Run the cases in both environments, one after the other, and then the gate of both.

    Args:
        pair: names of the baseline and of the candidate, which are made first where they are not.
        globs: which cases to run.
        workers: engines at work in each run, of the gate, too.
        tell: hears of each part before it starts.

    Raises:
        UsageError: an environment or a glob is not known, or a part of the benchmark fails.
    """
    count = len(chosen(globs, ()))
    both = [_ready(name) for name in pair]
    with tempfile.TemporaryDirectory() as directory:
        plain = _plain(both, Asked(tuple(globs), workers=workers), Path(directory), tell)
        tell(f"the gate of both, {count} cases")
        parts = _gate(pair, globs, workers, Path(directory) / "gate")
    return _figures(count, plain, parts)


def _ready(name: str) -> Ready:
    found = ready(find(name, load_environments(None)), tools())
    if isinstance(found, NotReady):
        raise UsageError(f"{found.reason}; `conformance envs make {name}` shows why")
    return found


def _plain(
    both: Sequence[Ready], asked: Asked, directory: Path, tell: Callable[[str], None]
) -> list[float]:
    runs = [
        Run(name, each, asked, directory / f"{name}.jsonl")
        for name, each in zip((BASELINE, CANDIDATE), both, strict=True)
    ]
    took = dict[str, float]()
    for run in runs:
        tell(f"a plain run in {run.ready.environment.name}")
        took |= run_all([run], 1, lambda _: None)
        try:
            whole(run)
        except RunError as error:
            raise UsageError(f"{error}") from None
    return list(took.values())


def _gate(
    pair: Sequence[str], globs: Sequence[str], workers: int, results: Path
) -> dict[str, float]:
    """Return the seconds of the gate's parts, as it tells them itself."""
    baseline, candidate = pair
    command = [
        *(sys.executable, "-m", "conformance.cli", "gate", "--results", str(results)),
        *("--baseline", baseline, "--candidate", candidate, "-n", str(workers)),
        *(part for glob in globs for part in ("--select", glob)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        raise UsageError(f"the gate has no answer: {(ended.stdout + ended.stderr)[-500:]}")
    seconds: dict[str, float] = json.loads((results / ANSWER).read_text(encoding="utf-8"))[
        "seconds"
    ]
    return seconds


def _figures(count: int, plain: Sequence[float], parts: dict[str, float]) -> list[Figure]:
    whole = parts["in all"]
    return [
        Figure("plain run, baseline", plain[0], "s", f"{count} cases"),
        Figure("plain run, candidate", plain[1], "s", f"{count} cases"),
        *(Figure(f"of the gate: {name}", took, "s", "") for name, took in parts.items()),
        Figure("gate / both plain runs", whole / sum(plain), "x", AIM),
    ]
