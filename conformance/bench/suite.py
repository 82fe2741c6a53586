"""How much the suite costs: measured against floors that are measured in the same run."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from conformance.case import Case, default_cases, select
from conformance.errors import UsageError
from conformance.selection import marker_names

COLLECTED = re.compile(r"(\d+) tests? collected in ([\d.]+)s")
TORCH_IMPORTED = "torch was imported"
COLLECT = (
    "import sys, pytest; code = pytest.main(['--collect-only', '-q', *sys.argv[1:]]);"
    f" print('{TORCH_IMPORTED}' if 'torch' in sys.modules else ''); sys.exit(code)"
)
PLAIN = """
import pytest

MARKS = [getattr(pytest.mark, name) for name in {marks!r}]
CASES = [pytest.param(name, id=name, marks=MARKS) for name in {names!r}]

@pytest.mark.parametrize("case", CASES)
def test_comes_back_as_saved(case):
    pass
"""
"""As many tests with as many markers, without the suite: what pytest itself takes."""
ASKED = 2000


@dataclass(frozen=True)
class Figure:
    """One line of the benchmark."""

    name: str
    measured: float
    unit: str
    aim: str


def measure(globs: Sequence[str], runs: int, tell: Callable[[str], None]) -> list[Figure]:
    """Run the benchmark; `tell` hears of each part before it starts.

    Raises:
        UsageError: a glob matches no default case, or a part of the benchmark fails.
    """
    count = len(select(globs, default_cases()))
    tell(f"{count} cases, {runs} runs of each part")
    bare = {calls: [] for calls in ("once", "same")}  # type: dict[str, list[float]]
    suite = {workers: [] for workers in (1, 2)}  # type: dict[int, list[float]]
    for number in range(1, runs + 1):
        for calls, times in bare.items():
            tell(f"run {number}: bare script, {calls} calls")
            times.append(_bare(calls, globs))
        for workers, times in suite.items():
            tell(f"run {number}: suite, -n {workers}")
            times.append(_suite(workers, globs))
    tell("collection")
    return [*_figures(count, bare, suite), *_collection(runs)]


def _figures(
    count: int, bare: dict[str, list[float]], suite: dict[int, list[float]]
) -> list[Figure]:
    alone, both = suite[1], suite[2]
    pairs = list(zip(alone, bare["same"], bare["once"], both, strict=True))
    return [
        Figure("bare script, the suite's calls", median(bare["same"]), "s", "the floor"),
        Figure("bare script, each call once", median(bare["once"]), "s", "for comparison"),
        Figure("suite, -n 1", median(alone), "s", f"{count} cases"),
        Figure("suite, -n 2", median(both), "s", f"{count} cases"),
        Figure("overhead", median(a / s for a, s, _, _ in pairs), "x the floor", "at most 1.5"),
        Figure("suite / each call once", median(a / o for a, _, o, _ in pairs), "x", "none"),
        Figure("-n 2 throughput", median(a / b for a, _, _, b in pairs), "x -n 1", "at least 1.6"),
    ]


def _collection(runs: int) -> list[Figure]:
    """Measure what stands before the first case: with the start of Python and of pytest in it."""
    with tempfile.TemporaryDirectory() as directory:
        plain = Path(directory) / "test_plain.py"
        plain.write_text(_plain(default_cases()), encoding="utf-8")
        ours = ("--pyargs", "conformance.suite")
        one = (*ours, "--select", default_cases()[0].id)
        theirs = ("-p", "no:conformance", "--rootdir", directory, str(plain))
        parts = [[_collect(part) for part in (ours, one, theirs)] for _ in range(runs)]
    count = parts[0][0].count
    whole, start, floor = (median(each.whole for each in part) for part in zip(*parts, strict=True))
    counted = median(ours.counted for ours, _, _ in parts)
    return [
        Figure(f"collecting {count} cases", whole, "s", "no torch import"),
        Figure("  of which the start, and one case", start, "s", "for comparison"),
        Figure("  as many plain tests, no suite", floor, "s", "the floor, pytest's own"),
        Figure("  as pytest counts, without start", counted, "s", "for comparison"),
        Figure(f"collecting, for {ASKED} cases", _for(ASKED, whole, start, count), "s", "under 1"),
    ]


def _for(asked: int, whole: float, start: float, count: int) -> float:
    """Return what so many cases take: the start once, and the rest in proportion.

    >>> _for(2000, whole=3.0, start=1.0, count=4000)
    2.0
    """
    return start + (whole - start) * asked / count


@dataclass(frozen=True)
class _Collected:
    count: int
    whole: float
    counted: float


def _collect(arguments: Sequence[str]) -> _Collected:
    seconds, output = _timed([sys.executable, "-c", COLLECT, *arguments])
    if TORCH_IMPORTED in output:
        raise UsageError("collection imported torch; an axis module imports it at its top")
    found = COLLECTED.search(output)
    if not found:
        raise UsageError(f"nothing was collected: {output[-300:]}")
    return _Collected(int(found[1]), seconds, float(found[2]))


def _plain(cases: Sequence[Case]) -> str:
    marks = marker_names(cases[0])
    return PLAIN.format(marks=marks, names=[case.id for case in cases])


def _bare(calls: str, globs: Sequence[str]) -> float:
    _, output = _timed([sys.executable, "-m", "conformance.bench.bare", calls, *globs])
    return float(output.split()[-1])


def _suite(workers: int, globs: Sequence[str]) -> float:
    """Return the wall time of a run, imports left out as they are for the floor."""
    with tempfile.TemporaryDirectory() as directory:
        results = str(Path(directory) / "results.jsonl")
        # The floor has the default cases that the globs name: no other sizes, no CUDA.
        chosen = ["--marker", "tiny", "--marker", "cpu"]
        chosen += [part for glob in globs for part in ("--select", glob)]
        command = [sys.executable, "-m", "conformance.cli", "run", "-n", str(workers)]
        whole, _ = _timed([*command, "--results", results, *chosen], codes=(0, 1))
    return whole - _start_up()


def _start_up() -> float:
    """Return the seconds that the workers take to import, which a bare script takes as well."""
    seconds, _ = _timed([sys.executable, "-c", "import conformance.roundtrip.preload"])
    return seconds


def _timed(command: Sequence[str], codes: Sequence[int] = (0,)) -> tuple[float, str]:
    start = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if ended.returncode not in codes:
        raise UsageError(f"{' '.join(command[:4])} ... failed: {ended.stderr[-500:]}")
    return seconds, ended.stdout
