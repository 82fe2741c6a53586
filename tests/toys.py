"""Commands on the toys of `fake_index.py`, as somebody types them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from called import Ran, called


class Shell:
    """Runs one command on the toys, in a directory of the test."""

    def __init__(self, name: str, given: Mapping[str, str], file: Path, directory: Path) -> None:
        self.name = name
        self.given = {**given, "TOY_ATTEMPTS": str(directory)}
        self.directory = directory
        self.results = directory / "results"
        self.common = ["--environments", str(file), "--results", str(self.results)]
        # Most tests of a gate are about its runs; `--exchange` behind it wins.
        self.common += ["--no-exchange"] if name == "gate" else []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "conformance.cli", self.name, *self.common, *arguments]

    def run(self, *arguments: str, **more: str) -> Ran:
        """Run the command in this process, whose import is paid once; its runs are real ones."""
        arguments = (self.name, *self.common, *arguments)
        return called(*arguments, where=Path.cwd(), variables={**self.given, **more})

    def start(
        self, *arguments: str, ctrl_c: signal.Handlers = signal.SIG_DFL, **more: str
    ) -> "subprocess.Popen[str]":
        """Start the command in a process of its own, that heeds Ctrl-C or ignores it."""
        command = self.command(*arguments)
        return subprocess.Popen(
            command,
            env={**self.given, **more},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=partial(signal.signal, signal.SIGINT, ctrl_c),
        )

    def lines(self, name: str) -> list[bytes]:
        """Return the whole lines of a results file; none where there is no file yet."""
        path = self.results / f"{name}.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        return [line for line in lines if line.endswith(b"\n")]


def only(*cases: str) -> list[str]:
    """Return the options that select these cases."""
    return [part for case in cases for part in ("--select", case)]


def wait_for(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
