"""Read a `.pt2` archive of `torch.export` or AOTInductor; nothing is unpickled or loaded."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from conformance.axes.files import (
    Contents,
    Piece,
    digest_of,
    globals_in,
    readable,
    storages,
    stored,
    weight_files,
)

SUFFIX = ".pt2"
WEIGHTS = "data/weights/"
CONSTANTS = "data/constants/"
CODE = "data/aotinductor/"
"""Where a package has what was compiled, and with it, unless they are left out, its constants."""


def read_program(directory: Path) -> Contents:
    """Read what exported programs hold: weights and constants, pickled ones by their storages."""
    return _read(directory, WEIGHTS, CONSTANTS)


def read_package(directory: Path) -> Contents:
    """Read what packages hold: the compiled code, and weights that lie beside it."""
    return _read(directory, CODE, WEIGHTS)


def _read(directory: Path, *folders: str) -> Contents:
    pieces: list[Piece] = []
    notes: dict[str, str] = {}
    for path in weight_files(directory, SUFFIX):
        with readable(path), zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                inside = entry.filename.partition("/")[2]
                if inside.startswith(folders) and not inside.endswith(".json"):
                    pieces += _pieces(archive, entry, f"{path.name}/{inside}", notes)
    return Contents(tuple(pieces), notes)


def _pieces(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, notes: dict[str, str]
) -> Iterator[Piece]:
    """Yield an entry as one run of bytes, or the storages of one that was pickled."""
    with stored(archive, entry) as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield Piece(name, entry.file_size, digest_of(file, entry.file_size))
            return
        file.seek(0)
        with zipfile.ZipFile(io.BytesIO(file.read())) as pickled:
            notes[f"{name}#globals"] = globals_in(pickled)
            for each in storages(pickled):
                yield Piece(f"{name}/{each.name}", each.bytes, each.digest)
