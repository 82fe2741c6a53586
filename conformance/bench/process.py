"""Processes that do the parts of a benchmark: they tell how far they are, and outlive nobody."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

Tell = Callable[[str], object]

PART = "part: "
"""Begins a line that says what is at work."""
LAST = 300
"""Characters of what a process said last."""
INTERVAL = 0.5
"""Seconds between two looks for whoever asked."""
ENDED = 75


def ask(command: Sequence[str], timeout: float, tell: Tell) -> dict[str, Any] | str:
    """Run a process; return the JSON object in its last line, or why it gave none.

    Args:
        command: of the process, which gets our id behind `--parent`.
        timeout: seconds that it may take.
        tell: hears of each part as it begins.
    """
    late = threading.Event()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        _running([*command, "--parent", str(os.getpid())], errors) as process,
        _ended_after(timeout, process, late),
    ):
        lines = list(_heard(cast(IO[str], process.stdout), tell))  # it is a pipe
        code = process.wait()
        errors.seek(0)
        said = errors.read().strip().splitlines() or ["it said nothing"]
    if late.is_set():
        return f"took longer than {timeout:.0f} s"
    if code < 0:
        return f"the process ended by {signal.Signals(-code).name}"
    told: dict[str, Any] | str = json.loads(lines[-1]) if code == 0 else said[-1][-LAST:]
    return told


def _heard(lines: Iterable[str], tell: Tell) -> Iterator[str]:
    """Tell the parts, and yield the other lines."""
    for line in lines:
        if line.startswith(PART):
            tell(line.removeprefix(PART).strip())
        else:
            yield line


@contextmanager
def _running(command: Sequence[str], errors: IO[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a process, and end it with the block, whatever ends that."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", errors="replace"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _ended_after(
    seconds: float, process: "subprocess.Popen[str]", late: threading.Event
) -> Iterator[None]:
    """End the process when its time is over, and say so."""

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_with(parent: int) -> None:
    """End this process when whoever asked for it is gone; a killed one cannot end us itself."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL)
        os._exit(ENDED)

    threading.Thread(target=watch, daemon=True).start()
