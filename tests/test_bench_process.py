"""Processes of a benchmark: what they tell, how they end, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conformance.bench.process import ask
from conformance.roundtrip.premises import sweep

pytestmark = pytest.mark.thorough

TOLD = """
import sys
print("part: build\\nchatter\\npart: save\\n" + '{"bytes": 3}')
"""


def asked(
    script: str, tell: Callable[[str], object] = lambda _: None, timeout: float = 60
) -> object:
    return ask([sys.executable, "-c", script], timeout, tell)


def test_parts_are_told_and_the_last_line_is_what_it_gives() -> None:
    parts: list[str] = []
    assert asked(TOLD, parts.append) == {"bytes": 3}
    assert parts == ["build", "save"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit('needs 30.0 GiB of memory')", "needs 30.0 GiB of memory"),
        ("import sys; sys.exit(3)", "it said nothing"),
        ("raise RuntimeError('no kernel')", "RuntimeError: no kernel"),
        ("import os; os.kill(os.getpid(), 11)", "the process ended by SIGSEGV"),
        ("raise ValueError(1000 * 'x')", 300 * "x"),
    ],
)
def test_a_process_that_gives_nothing_says_why(script: str, reason: str) -> None:
    assert asked(script) == reason


def test_a_process_that_takes_too_long_is_ended() -> None:
    assert asked("import time; time.sleep(600)", timeout=0.2) == "took longer than 0 s"


def test_a_process_ends_with_whoever_breaks_off() -> None:
    class BreakOffError(Exception):
        pass

    children: list[psutil.Process] = []

    def broken_off(_part: str) -> None:
        children.extend(psutil.Process().children())
        raise BreakOffError

    with pytest.raises(BreakOffError):
        asked("import time; print('part: one', flush=True); time.sleep(600)", broken_off)
    assert [each for each in children if each.is_running()] == []


# A whole command. Its two processes are real, the models are not.

TOY = """
import os, sys, time
from conformance.bench.process import end_with
end_with(int(sys.argv[-1]))
open(os.path.join(sys.argv[5], "weights"), "w").close()
print("part:", os.getpid(), flush=True)
time.sleep(600)
"""
COMMAND = """
import sys
from conformance.bench import model
from conformance.cli import main
model.MODULE = "toy_drawn"
sys.argv = ["conformance", "bench", "model", "flux-small", "--device", "cpu"]
main()
"""


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", psutil.Process]]:
    """A benchmark at work, and the process that works for it."""
    (tmp_path / "toy_drawn.py").write_text(TOY, encoding="utf-8")
    paths = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', Path.cwd())}"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    child = psutil.Process(int(process.stderr.readline().split()[-1]))
    yield process, child
    for each in (process, child):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def gone(process: psutil.Process) -> bool:
    for _ in range(600):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_benchmark_that_is_ended_leaves_no_process_and_no_file(
    how: signal.Signals, begun: tuple["subprocess.Popen[str]", psutil.Process], tmp_path: Path
) -> None:
    process, child = begun
    assert len(list(tmp_path.glob("conformance-*/none/weights"))) == 1
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert gone(child)
    assert list(tmp_path.glob("conformance-*")) == []


def test_the_process_of_one_that_was_killed_ends_and_its_files_are_swept(
    begun: tuple["subprocess.Popen[str]", psutil.Process], tmp_path: Path
) -> None:
    process, child = begun
    process.kill()
    process.communicate(timeout=60)
    assert gone(child)
    (left,) = tmp_path.glob("conformance-*")
    assert sweep(tmp_path) == [left]
    assert not left.exists()
