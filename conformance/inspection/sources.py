"""Where the files are: a directory, or a repository of the Hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

from conformance.errors import UsageError
from conformance.inspection.reading import Meter, Unreadable

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
"""What files of weights are called."""
FILES = 20_000


class Source(Protocol):
    """Files by relative path."""

    title: str

    def files(self) -> Mapping[str, int]:
        """Return the size in bytes of every file of interest, by relative path."""

    def open(self, name: str) -> BinaryIO:
        """Open one of them for reading."""


class Folder:
    """A directory on this machine, two levels deep: a pipeline has its models in folders."""

    def __init__(self, directory: Path, patterns: tuple[str, ...] = ("*", "*/*")) -> None:
        """Take a directory that is there, and look in it for what the patterns match."""
        self.title = str(directory)
        self._directory = directory
        self._patterns = patterns

    def files(self) -> Mapping[str, int]:
        """Return the sizes of the JSON and weight files.

        Raises:
            UsageError: it cannot be listed, or holds absurdly many files.
        """
        found: dict[str, int] = {}
        try:
            for pattern in self._patterns:
                for path in sorted(self._directory.glob(pattern)):
                    if path.suffix in (*SUFFIXES, ".json") and path.is_file():
                        found[path.relative_to(self._directory).as_posix()] = path.stat().st_size
        except OSError as error:
            raise UsageError(f"cannot list {self.title}: {error.strerror or error}") from None
        if len(found) > FILES:
            raise UsageError(f"{self.title} has more than {FILES:,} files; name one of its folders")
        return found

    def deeper(self) -> Path | None:
        """Return a folder further down that holds a weight file; None when there is none near."""
        levels = (sorted(self._directory.glob(f"{'*/' * depth}*")) for depth in (2, 3))
        files = (path for level in levels for path in level if path.suffix in SUFFIXES)
        return next((path.parent for path in files), None)

    def open(self, name: str) -> BinaryIO:
        """Open a file."""
        return (self._directory / name).open("rb")


def metered(source: Source, name: str) -> Meter:
    """Open a file so that it is not believed.

    Raises:
        Unreadable: it cannot be opened.
    """
    try:
        return Meter(source.open(name))
    except OSError as error:
        raise Unreadable(f"cannot read it: {error.strerror or error}") from None
