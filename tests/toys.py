"""Commands on the toys of `fake_index.py`, as somebody types them."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Ran = subprocess.CompletedProcess[str]


class Shell:
    """Runs one command on the toys, in a directory of the test."""

    def __init__(self, name: str, given: Mapping[str, str], file: Path, directory: Path) -> None:
        self.name = name
        self.given = {**given, "TOY_ATTEMPTS": str(directory)}
        self.directory = directory
        self.results = directory / "results"
        self.common = ["--environments", str(file), "--results", str(self.results)]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "conformance.cli", self.name, *self.common, *arguments]

    def run(self, *arguments: str, **more: str) -> Ran:
        return subprocess.run(
            self.command(*arguments),
            env={**self.given, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        command = self.command(*arguments)
        return subprocess.Popen(
            command, env={**self.given, **more}, stdout=subprocess.PIPE, text=True
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
