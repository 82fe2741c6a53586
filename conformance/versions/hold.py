"""A directory that one command has to itself, also while processes that it left behind go on."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.errors import UsageError

HELD = ".held"


@contextmanager
def held(directory: Path) -> Iterator[int]:
    """Make the directory and hold it. Yields a descriptor: a child that inherits it holds it too.

    A run whose gate was killed therefore keeps a second gate from writing into the same files.

    Raises:
        UsageError: it cannot be made, or somebody else holds it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / HELD, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror}; give --results another directory"
        ) from None
    try:
        _lock(descriptor, directory)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{directory} is in use by another command, or by runs that it left behind; "
            "wait for them, or give --results another directory"
        ) from None
