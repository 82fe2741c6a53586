"""An environment that takes part in an exchange: its name, its versions, and how it is started."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import IO, Any, Protocol


class Start(Protocol):
    """Starts Python in an environment with these arguments, as `subprocess.Popen` does."""

    def __call__(self, arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Return the running process; it has text pipes."""
        ...


@dataclass(frozen=True)
class Party:
    """An environment that is ready."""

    name: str
    versions: Mapping[str, str]
    start: Start


@dataclass(frozen=True)
class Absent:
    """An environment that could not be made."""

    name: str
    reason: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Empty: nobody knows them."""


class PartyError(Exception):
    """A process of a party did not end well; the message is what it said last."""


@dataclass(frozen=True)
class Lines:
    """The JSON lines that a module prints in the environment of a party, as they come."""

    party: Party
    arguments: tuple[str, ...]
    given: str = ""
    """What it reads on standard input."""
    stop: Event = field(default_factory=Event)
    """Set it to have the process ended."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the lines.

        Raises:
            PartyError: the process ended with another exit code than 0.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            process = self.party.start(["-m", *self.arguments], **pipes)
            try:
                yield from self._of(process)
                if not self.stop.is_set() and process.wait() != 0:
                    raise PartyError(f"exit code {process.returncode}: {_last_line(errors)}")
            finally:
                _end(process)

    def _of(self, process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(self.given)
        for line in process.stdout:
            if self.stop.is_set():
                return
            with suppress(ValueError):  # what a library prints on import is no line of ours
                yield dict(json.loads(line))


def _last_line(errors: IO[str]) -> str:
    errors.seek(0)
    said = [line for line in errors.read().splitlines() if line.strip()]
    return said[-1] if said else "it said nothing"


def _end(process: "subprocess.Popen[str]") -> None:
    """End a process that still runs, and its workers through the end of their pipes."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
