"""Reading with limits: a file may say anything about itself, and is not believed."""

from types import TracebackType
from typing import BinaryIO

LINE = 4096
"""Longest line of a pickle's text opcodes; a name is shorter."""
AT_ONCE = 64 * 2**20
"""Bytes of one read: no header or pickle of a state dict is longer."""
TOGETHER = 512 * 2**20
"""Bytes of all reads of one file."""


class Unreadable(Exception):  # noqa: N818 - it is an answer, not a defect of this program
    """The file is not what its name says. The message is one clear line."""


class Meter:
    """A binary file that counts what is read, and refuses to read absurdly much."""

    def __init__(self, file: BinaryIO, at_once: int = AT_ONCE) -> None:
        """Take over an open file; `at_once` is the longest read in bytes."""
        self._file = file
        self.size = file.seek(0, 2)
        self.at_once = at_once
        self.bytes = 0
        file.seek(0)

    def read(self, count: int | None = -1) -> bytes:
        """Return at most `count` bytes; all that are left when it is negative.

        Raises:
            Unreadable: that is more than anything sensible needs.
        """
        left = max(self.size - self._file.tell(), 0)
        wanted = left if count is None or count < 0 else min(count, left)
        if wanted > self.at_once:
            raise Unreadable(f"it wants {wanted:,} bytes read at once, more than {self.at_once:,}")
        return self._counted(self._file.read(wanted))

    def readline(self) -> bytes:
        """Return one line with its end.

        Raises:
            Unreadable: it is longer than any name.
        """
        line = self._counted(self._file.readline(LINE))
        if len(line) == LINE and not line.endswith(b"\n"):
            raise Unreadable(f"a line of its pickle is longer than {LINE:,} bytes")
        return line

    def _counted(self, data: bytes) -> bytes:
        self.bytes += len(data)
        if self.bytes > TOGETHER:
            raise Unreadable(f"it wants more than {TOGETHER:,} bytes read")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in bytes."""
        return self._file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
