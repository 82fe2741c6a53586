"""The three things that an expectation can foresee, each with how it differs from what came."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from conformance.roundtrip.outcome import Failure, Finding, NoResult, NoResultKind, Reader, Stage

Event = Failure | Finding | NoResult
"""One thing that happened in a case and wants an excuse."""


@dataclass(frozen=True)
class Raises:
    """The libraries raise this."""

    stage: Stage
    type: str
    match: re.Pattern[str]
    """Searched in the message."""
    leftovers: tuple[str, ...] | None = None
    """Globs: each file left behind matches one, and each of them a file; None: not looked at."""
    reader: Reader | None = None

    def __str__(self) -> str:
        return f"{self.type} ~ {self.match.pattern!r} at {self.stage}"

    def differences(self, event: Event) -> tuple[str, ...]:
        """Name the parts in which the event differs; empty when this foresaw it."""
        if not isinstance(event, Failure):
            return ("kind",)
        return _named(
            stage=event.stage is self.stage,
            type=self.type in (event.type, event.type.rpartition(".")[2]),
            message=self.match.search(event.message) is not None,
            leftovers=self.leftovers is None or _exactly(event.leftovers, self.leftovers),
            reader=self.reader in (None, event.reader),
        )


@dataclass(frozen=True)
class Differs:
    """A check finds this."""

    stage: Stage
    check: str
    what: re.Pattern[str]
    """Matches the whole of `Finding.what`."""
    path: re.Pattern[str] | None = None
    """Matches the whole of `Finding.path`; None: any path."""
    reader: Reader | None = None

    def __str__(self) -> str:
        where = f" in {self.path.pattern!r}" if self.path else ""
        return f"{self.check} ~ {self.what.pattern!r}{where} at {self.stage}"

    def differences(self, event: Event) -> tuple[str, ...]:
        """Name the parts in which the event differs; empty when this foresaw it."""
        if not isinstance(event, Finding):
            return ("kind",)
        return _named(
            stage=event.stage is self.stage,
            check=event.check == self.check,
            what=self.what.fullmatch(event.what) is not None,
            path=self.path is None or self.path.fullmatch(event.path) is not None,
            reader=self.reader in (None, event.reader),
        )


@dataclass(frozen=True)
class Ends:
    """The case ends without a result."""

    kind: NoResultKind
    stage: Stage | None = None
    match: re.Pattern[str] | None = None
    """Searched in the reason; None: any reason."""

    def __str__(self) -> str:
        return f"{self.kind} at {self.stage}" if self.stage else str(self.kind)

    def differences(self, event: Event) -> tuple[str, ...]:
        """Name the parts in which the event differs; empty when this foresaw it."""
        if not isinstance(event, NoResult):
            return ("kind",)
        return _named(
            ending=event.kind is self.kind,
            stage=self.stage in (None, event.stage),
            reason=self.match is None or self.match.search(event.reason) is not None,
        )


Excuse = Raises | Differs | Ends


def describe(event: Event) -> str:
    """Say on one line what happened, in the same order of words as an excuse."""
    if isinstance(event, Failure):
        left = f", leaving {', '.join(event.leftovers)}" if event.leftovers else ""
        text = f"{event.type} {_short(event.message)!r} at {event.stage}{left}{_by(event.reader)}"
    elif isinstance(event, Finding):
        text = f"{event.check} {event.what!r} in {event.path!r} at {event.stage}{_by(event.reader)}"
    else:
        text = f"{event.kind}: {event.reason}" + (f" at {event.stage}" if event.stage else "")
    return " ".join(text.split())


def _short(message: str) -> str:
    """A state dict's error names every key of the model; its beginning says what it is."""
    line = " ".join(message.split())
    return line if len(line) <= 300 else line[:299] + "…"


def _by(reader: Reader) -> str:
    return ", in the fresh reader only" if reader is Reader.FRESH else ""


def _named(**equal: bool) -> tuple[str, ...]:
    return tuple(name for name, same in equal.items() if not same)


def _exactly(files: Iterable[str], globs: Iterable[str]) -> bool:
    """Does every file match a glob, and every glob a file?"""
    files, globs = tuple(files), tuple(globs)
    return all(any(fnmatchcase(file, glob) for glob in globs) for file in files) and all(
        any(fnmatchcase(file, glob) for file in files) for glob in globs
    )
