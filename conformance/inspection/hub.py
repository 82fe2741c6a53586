"""A repository of the Hub: its list of files, and of each file only the ranges that are read."""

import re
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from conformance.errors import UsageError
from conformance.inspection.sources import SUFFIXES

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
BLOCK = 2**20
"""Bytes of one request for a range."""


class Repository:
    """Files of `owner/name` or `owner/name@revision`."""

    def __init__(self, name: str, system: Any = None) -> None:
        """Take a name; `system` is a stand-in for the Hub's file system (fsspec)."""
        self.title = name
        self._system = system

    def files(self) -> Mapping[str, int]:
        """Return the sizes of the JSON and weight files.

        Raises:
            UsageError: the Hub cannot be reached, or has no such repository.
        """
        try:
            found = self._hub().find(self.title, maxdepth=2, detail=True)
        except Exception as error:  # noqa: BLE001 - offline looks different in every release
            raise UsageError(_offline(self.title, error)) from None
        base = f"{self.title}/"
        sizes = {path.removeprefix(base): each["size"] or 0 for path, each in found.items()}
        return {name: size for name, size in sizes.items() if name.endswith((*SUFFIXES, ".json"))}

    def open(self, name: str) -> BinaryIO:
        """Open a file; what is read of it is asked for in ranges.

        Raises:
            OSError: it cannot be read.
        """
        try:
            path = f"{self.title}/{name}"
            return cast(BinaryIO, self._hub().open(path, "rb", block_size=BLOCK))
        except Exception as error:  # noqa: BLE001
            raise OSError(str(error).partition("\n")[0]) from None

    def _hub(self) -> Any:
        if self._system is None:
            from huggingface_hub import HfFileSystem

            self._system = HfFileSystem()
        return self._system


def _offline(name: str, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
    return (
        f"{name} is no path here, and the Hub does not give it ({type(error).__name__}: {reason}); "
        "give a path, or the id of a repository that you can reach"
    )
