"""Read weight files without building a tensor subclass and without unpickling anything."""

import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickletools import genops
from typing import Any

import xxhash


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
        ValueError: the file is shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
        if 8 + length > size:
            raise ValueError(f"{path.name}: the header is cut off")
        return json.loads(file.read(length)), 8 + length


def safetensors_pieces(path: Path) -> Iterator[Piece]:
    """Yield the tensors of a safetensors file.

    Raises:
        ValueError: header and file size contradict each other.
    """
    header, start = safetensors_header(path)
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if start + end != path.stat().st_size:
        raise ValueError(f"{path.name}: {path.stat().st_size} bytes, its header says {start + end}")
    with path.open("rb") as file:
        for name, entry in sorted(header.items()):
            first, last = entry["data_offsets"]
            file.seek(start + first)
            content = xxhash.xxh3_128_hexdigest(file.read(last - first))
            kind = f"{entry['dtype']}{entry['shape']}"
            yield Piece(f"{path.name}/{name}", last - first, f"{kind}:{content}")


def safetensors_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file by name; values are JSON with sorted keys."""
    header, _ = safetensors_header(path)
    metadata = header.get("__metadata__", {})
    return {f"{path.name}#{name}": _canonical(value) for name, value in metadata.items()}


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def torch_pieces(path: Path) -> Iterator[Piece]:
    """Yield the storages of a file of `torch.save`, in the order of their numbers."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            inside = entry.filename.partition("/")[2]
            if inside.startswith("data/"):
                content = xxhash.xxh3_128_hexdigest(archive.read(entry))
                yield Piece(f"{path.name}/{inside}", entry.file_size, content)


def torch_globals(path: Path) -> str:
    """Return the classes and functions that a file of `torch.save` names, unexecuted."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        return " ".join(sorted({each for name in names for each in _globals(archive.read(name))}))


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


def read_safetensors(directory: Path) -> Contents:
    """Read every safetensors file in a directory."""
    paths = weight_files(directory, ".safetensors")
    pieces = tuple(piece for path in paths for piece in safetensors_pieces(path))
    notes = [safetensors_metadata(path) for path in paths]
    return Contents(pieces, {name: text for each in notes for name, text in each.items()})


def weight_files(directory: Path, *suffixes: str) -> list[Path]:
    """Return the weight files of a directory in order of their names."""
    return sorted(path for path in directory.iterdir() if path.suffix in suffixes)
