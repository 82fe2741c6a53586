"""Errors that people cause and can mend: each is one clear line."""

from pathlib import Path


class UsageError(Exception):
    """A bad input. The message says what is wrong and how to mend it."""


class UnavailableError(Exception):
    """This machine or these versions cannot do it. The message is the reason of a `no result`."""


def results_unwritable(path: Path, error: OSError) -> UsageError:
    """Return what a run says that has no place for its results, before it measures anything."""
    return UsageError(
        f"cannot write the results to {path}: {error.strerror or error}; "
        "give a path in a folder that exists and that you may write to"
    )
