"""Files of JSON lines that are written as results come, and going on where a run broke off."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from conformance.errors import UsageError, results_unwritable


@dataclass(frozen=True)
class Begun:
    """The whole lines of a file."""

    lines: tuple[bytes, ...]

    @property
    def end(self) -> int:
        """Where the next line goes, in bytes."""
        return sum(map(len, self.lines))

    @property
    def texts(self) -> tuple[str, ...]:
        """The lines without their ends."""
        return tuple(line.decode("utf-8", "replace").rstrip("\n") for line in self.lines)

    def first(self, count: int) -> "Begun":
        """Return so many lines of it."""
        return Begun(self.lines[:count])


def begun(path: Path) -> Begun:
    """Read a file without its last line, where that is cut.

    Raises:
        UsageError: it is missing, or has no whole line.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(
            f"cannot resume {path}: {error.strerror or error}; leave --resume out to start anew"
        ) from None
    whole = tuple(line for line in lines if line.endswith(b"\n"))
    if not whole:
        raise UsageError(f"{path} has no whole first line; leave --resume out to start anew")
    return Begun(whole)


def go_on(path: Path, after: Begun) -> IO[str]:
    """Open a file to write behind these lines; what is behind them is gone.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        file = path.open("r+", encoding="utf-8")
        file.truncate(after.end)
    except OSError as error:
        raise results_unwritable(path, error) from None
    file.seek(after.end)
    return file


Writing = TypeVar("Writing", bound="Lines")


class Lines:
    """Writes JSON lines at once: a header, and a line a result."""

    def __init__(self, path: Path, header: Mapping[str, Any], after: Begun | None) -> None:
        """Open the file and write the header, or go on after what a run that broke off left.

        Raises:
            UsageError: the path cannot be written.
        """
        if after is not None:
            self._file = go_on(path, after)
            return
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise results_unwritable(path, error) from None
        self._line(header)

    def append(self, result: Mapping[str, Any]) -> None:
        """Write a result; what is empty is left out."""
        self._line({name: value for name, value in result.items() if value})

    def _line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content, separators=(",", ":")) + "\n")
        self._file.flush()

    def __enter__(self: Writing) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def require_same(path: Path, facts: Mapping[str, tuple[object, object]]) -> None:
    """See that what began a file and what goes on are one run.

    Args:
        path: The file.
        facts: What it was then and is now, by the word for it.

    Raises:
        UsageError: it is not.
    """
    for what, (then, now) in facts.items():
        if then != now:
            raise another(path, f"{what} {_told(then)} and {_told(now)}")


def require_asked(path: Path, there: Iterable[str], asked: Iterable[str]) -> None:
    """See that nothing is in a file that would not be measured now.

    Raises:
        UsageError: something is.
    """
    if extra := sorted(set(there) - set(asked)):
        raise another(path, f"it holds {extra[0]}, which is not asked for now")


def another(path: Path, what: str) -> UsageError:
    """Return the refusal to go on with the file of another run."""
    return UsageError(
        f"{path} cannot be resumed by this run: {what}; "
        "give the options of the first run, or another --results"
    )


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "none"
    return str(value)
