"""Read weight files without building a tensor subclass and without unpickling anything.

A file may be damaged or hostile: whatever is in it, that is a `ValueError`, and costs no more
memory than the file is long.
"""

import errno
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickletools import genops
from typing import IO, Any

import xxhash

END = b"PK\5\6"
"""Begins the last 22 bytes of an archive that has no comment."""
HEADER = 100 * 2**20
"""Bytes of a safetensors header; the format allows no more."""
PART = 2**20
"""Bytes that are read at once."""
DAMAGE = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
)
"""What reading a damaged file may end in, beside our own `ValueError`."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes of the block into one kind of error.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EINVAL:  # that is a place before the beginning of the file
            raise
        raise ValueError(f"{path.name}: damaged (it names a place that is none)") from error
    except DAMAGE as error:
        raise ValueError(f"{path.name}: damaged ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Piece:
    """One named run of bytes in a weight file."""

    name: str
    """`<file>/<tensor or entry>`."""
    bytes: int
    digest: str


def safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the JSON header and the offset of the data.

    Raises:
        ValueError: the file is shorter than its header says, or its header is none.
    """
    size = path.stat().st_size
    with readable(path), path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
        if 8 + length > size:
            raise ValueError(f"{path.name}: the header is cut off")
        if length > HEADER:
            raise ValueError(f"{path.name}: a header of {length} bytes, more than {HEADER}")
        header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError(f"{path.name}: the header is no JSON object")
        return header, 8 + length


def safetensors_pieces(path: Path) -> Iterator[Piece]:
    """Yield the tensors of a safetensors file.

    Raises:
        ValueError: header and file size contradict each other, or the header makes no sense.
    """
    with readable(path):
        yield from _tensors(path)


def _tensors(path: Path) -> Iterator[Piece]:
    header, start = safetensors_header(path)
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if start + end != path.stat().st_size:
        raise ValueError(f"{path.name}: {path.stat().st_size} bytes, its header says {start + end}")
    with path.open("rb") as file:
        for name, entry in sorted(header.items()):
            first, last = entry["data_offsets"]
            if not 0 <= first <= last:
                raise ValueError(f"{path.name}: {name} reaches from {first} to {last}")
            file.seek(start + first)
            content = digest_of(file, last - first)
            kind = f"{entry['dtype']}{entry['shape']}"
            yield Piece(f"{path.name}/{name}", last - first, f"{kind}:{content}")


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file by name; values are JSON with sorted keys."""
    header, _ = safetensors_header(path)
    metadata = header.get("__metadata__", {})
    with readable(path):
        return {f"{path.name}#{name}": _canonical(value) for name, value in metadata.items()}


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError):
        return text


def torch_pieces(path: Path) -> Iterator[Piece]:
    """Yield the storages of a file of `torch.save`, in the order of their numbers.

    Raises:
        ValueError: the archive is damaged, or an entry is compressed, as a bomb is.
    """
    with readable(path), zipfile.ZipFile(path) as archive:
        for each in storages(archive):
            yield Piece(f"{path.name}/{each.name}", each.bytes, each.digest)


def storages(archive: zipfile.ZipFile) -> Iterator[Piece]:
    """Yield the storages of one archive, by the name that they have in it."""
    for entry in archive.infolist():
        inside = entry.filename.partition("/")[2]
        if inside.startswith("data/"):
            with stored(archive, entry) as file:
                yield Piece(inside, entry.file_size, digest_of(file, entry.file_size))


def torch_globals(path: Path) -> str:
    """Return the classes and functions that a file of `torch.save` names, unexecuted.

    Raises:
        ValueError: see `torch_pieces`.
    """
    with readable(path), zipfile.ZipFile(path) as archive:
        return globals_in(archive)


def globals_in(archive: zipfile.ZipFile) -> str:
    """Return the classes and functions that the pickles of one archive name."""
    pickles = [each for each in archive.infolist() if each.filename.endswith("/data.pkl")]
    named = (name for each in pickles for name in _globals(_all(archive, each)))
    return " ".join(sorted(set(named)))


def digest_of(file: IO[bytes], length: int) -> str:
    """Return the 128-bit xxh3 of the next bytes, read in parts that stay in a processor's cache."""
    running = xxhash.xxh3_128()
    while length and (part := file.read(min(PART, length))):
        running.update(part)
        length -= len(part)
    return str(running.hexdigest())


def _all(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with stored(archive, entry) as file:
        return file.read()


def stored(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open an entry that is as long as it says; reading all of it looks at its checksum, too."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"{entry.filename} is compressed, which torch.save never does")
    return archive.open(entry)


@lru_cache(maxsize=256)  # shards are many, and equal models have equal pickles
def _globals(pickled: bytes) -> frozenset[str]:
    opcodes = genops(pickled)
    return frozenset(
        str(argument).replace(" ", ".") for code, argument, _ in opcodes if code.name == "GLOBAL"
    )


@dataclass(frozen=True)
class Contents:
    """What the weight files of a checkpoint hold, whatever the order on disk."""

    pieces: tuple[Piece, ...]
    notes: Mapping[str, str]
    """Metadata, and the classes that a pickle names, by `<file>#<name>`."""

    @property
    def payload(self) -> int:
        """Bytes of tensor data, without headers and indexes."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def digests(self) -> dict[str, str]:
        """Everything that must be equal in an equal checkpoint, by name."""
        return {piece.name: piece.digest for piece in self.pieces} | dict(self.notes)


def read_torch(directory: Path) -> Contents:
    """Read every file of `torch.save` in a directory."""
    paths = weight_files(directory, ".bin", ".pt")
    pieces = tuple(piece for path in paths for piece in torch_pieces(path))
    return Contents(pieces, {f"{path.name}#globals": torch_globals(path) for path in paths})


def read_dcp(directory: Path) -> Contents:
    """Read every file of a distributed checkpoint: archives of `torch.save`, one behind another.

    Raises:
        ValueError: there is something between them, or see `torch_pieces`.
    """
    pieces: list[Piece] = []
    notes: dict[str, str] = {}
    for path in weight_files(directory, ".distcp"):
        for number, archive in enumerate(_archives(path)):
            pieces += (
                Piece(f"{path.name}/{number}/{each.name}", each.bytes, each.digest)
                for each in storages(archive)
            )
            notes[f"{path.name}/{number}#globals"] = globals_in(archive)
    return Contents(tuple(pieces), notes)


def _archives(path: Path) -> list[zipfile.ZipFile]:
    """Open the archives that lie one behind another, found from the end."""
    found = []
    content = io.BytesIO(path.read_bytes())
    while end := content.seek(0, io.SEEK_END):
        if content.getvalue()[-len(END) - 18 : -18] != END:
            raise ValueError(f"{path.name}: damaged (no archive ends where the file does)")
        with readable(path):
            archive = zipfile.ZipFile(io.BytesIO(content.getvalue()))
            start = min(each.header_offset for each in archive.infolist())
        if not start < end:
            raise ValueError(f"{path.name}: damaged (an archive begins behind its end)")
        content.truncate(start)
        found.append(archive)
    return found[::-1]


def read_safetensors(directory: Path) -> Contents:
    """Read every safetensors file in a directory."""
    paths = weight_files(directory, ".safetensors")
    pieces = tuple(piece for path in paths for piece in safetensors_pieces(path))
    notes = [safetensors_metadata(path) for path in paths]
    return Contents(pieces, {name: text for each in notes for name, text in each.items()})


def weight_files(directory: Path, *suffixes: str) -> list[Path]:
    """Return the weight files of a directory in order of their names."""
    return sorted(path for path in directory.iterdir() if path.suffix in suffixes)
