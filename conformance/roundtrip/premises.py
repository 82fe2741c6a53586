"""Where an engine works: a directory that is removed, if need be by the next run."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "conformance-"
OWNER = "owner.lock"
LARGE = "conformance-large.lock"
EVERYBODY = 0o666
LOOK = 0.5
"""Seconds between two looks at whether a case that waits is still wanted."""


@dataclass
class Premises:
    """A directory, and the lock by which others see that its owner lives."""

    directory: Path
    _lock: FileLock

    @classmethod
    def occupy(cls) -> "Premises":
        """Make a new directory, after those of dead owners have been removed."""
        sweep(Path(tempfile.gettempdir()))
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it bears the name by which others look for it.
        new = directory / f"{OWNER}.new"
        lock = FileLock(new)
        lock.acquire()
        new.rename(directory / OWNER)
        return cls(directory, lock)

    def leave(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self._lock.release()


def sweep(place: Path) -> list[Path]:
    """Remove the directories that owners left who were killed; return them."""
    removed = []
    for path in place.glob(f"{PREFIX}*/{OWNER}"):
        lock = FileLock(path, timeout=0)
        try:
            with lock:
                shutil.rmtree(path.parent, ignore_errors=True)
                removed.append(path.parent)
        except (Timeout, OSError):  # its owner lives, or is somebody else
            continue
    return removed


def one_large_case() -> FileLock:
    """Return the lock that lets one large case of this machine have all of its memory."""
    return FileLock(Path(tempfile.gettempdir()) / LARGE, mode=EVERYBODY)


@contextmanager
def turn_of_a_large_case(
    wanted: Callable[[], bool], waiting: Callable[[], object]
) -> Iterator[bool]:
    """Wait for the lock of `one_large_case`, and yield whether the case is wanted when it has it.

    Args:
        wanted: is it still? Whoever waits may be asked to end.
        waiting: is told again and again that another case has the lock.
    """
    lock = one_large_case()
    while wanted() and not _acquired(lock):
        waiting()
    try:
        yield wanted()
    finally:
        lock.release()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=LOOK)
    except Timeout:
        return False
    return True
