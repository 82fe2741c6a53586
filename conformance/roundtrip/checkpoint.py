"""Somebody's own checkpoint as it lies on disk: its files, what they hold, and what has changed."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from conformance.axes.files import (
    Contents,
    Piece,
    safetensors_metadata,
    safetensors_pieces,
    torch_globals,
    torch_pieces,
)
from conformance.errors import UsageError
from conformance.roundtrip.record import RECORD, Record

SAFETENSORS = (".safetensors",)
PICKLES = (".bin", ".pt", ".pth")
CHUNK = 2**24
"""Bytes of a file in memory at a time."""
INDEX = ".index.json"
CHECKPOINT = "checkpoint"
"""The directory of a checkpoint that the suite wrote; its record lies beside it."""
BESIDE = ".record.json"
"""What the name of a record has behind that of its checkpoint."""
SHOWN = 3
NOT_ASKED = "--no-outputs was given"

Tell = Callable[[int], object]
"""Is told of bytes that have been read."""


@dataclass(frozen=True)
class Asked:
    """What is to be recorded or verified, and how it is read."""

    path: Path
    record: Path
    model: str = ""
    """A class, a family, `module:Class` or `file.py:Class`; empty for what `config.json` names."""
    inputs: str = ""
    """`module:function` or `file.py:function`; empty for what the family gives."""
    dtype: str = ""
    """What a model is loaded in; empty for what most of it is stored in."""
    outputs: bool = True
    """Is the model called?"""

    @property
    def arguments(self) -> list[str]:
        """The same for another process."""
        named = {"--class": self.model, "--inputs": self.inputs, "--dtype": self.dtype}
        options = [part for name, value in named.items() if value for part in (name, value)]
        where = [str(self.path), "--record", str(self.record)]
        return [*where, *options, *([] if self.outputs else ["--no-outputs"])]


@dataclass(frozen=True)
class Checkpoint:
    """The files that belong together."""

    path: Path
    files: tuple[Path, ...]
    """In order of their names."""
    weights: tuple[Path, ...]
    """Those of them that a reader takes tensors from."""
    config: Mapping[str, Any] | None = field(repr=False)
    """`config.json`; None for a plain state dict."""

    @property
    def name(self) -> str:
        """How it is called in ids."""
        stem = self.path.name if self.path.is_dir() else self.path.stem
        return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-") or "checkpoint"

    @property
    def form(self) -> str:
        """How the weights lie: the last part but one of an id."""
        kind = "safetensors" if self.weights[0].suffix in SAFETENSORS else "pickle"
        sharded = "-sharded" if len(self.weights) > 1 else ""
        return f"{kind}{sharded}" if self.config is not None else f"state-dict-{kind}{sharded}"

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every file by name."""
        return {each.name: each.stat().st_size for each in self.files}


def checkpoint_at(path: Path) -> Checkpoint:
    """Look what lies at a path: the directory of a model, or the file of a state dict.

    Raises:
        UsageError: nothing that could be read.
    """
    if not path.exists():
        raise UsageError(f"{path} is not there; download a checkpoint before it is recorded")
    if path.is_file() and path.suffix not in (*SAFETENSORS, *PICKLES):
        raise UsageError(f"{path} is no weight file; give a directory, or a .safetensors or .bin")
    if (path / "model_index.json").exists():
        raise UsageError(f"{path} is a pipeline; name one of its models: {path / 'transformer'}")
    there = [path] if path.is_file() else sorted(path.iterdir())
    files = tuple(each for each in there if _belongs(each))
    for each in files:
        if each.name.endswith(INDEX):
            stays_inside(each)
    safe = tuple(each for each in files if each.suffix in SAFETENSORS)
    weights = safe or tuple(each for each in files if each.suffix in PICKLES)
    if not weights:
        raise UsageError(f"{path} holds no weight files; give the directory that holds them")
    return Checkpoint(path, files, weights, _config(path))


def stays_inside(index: Path) -> None:
    """See that an index of shards names nothing but files beside it: a loader opens what it names.

    Raises:
        UsageError: it names another place, or is no index.
    """
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{index} is no index of shards ({error!r}); restore it") from None
    for name in names:
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name:
            raise UsageError(
                f"{index} names {name!r}, which is no file beside it; do not load it, "
                "and ask its source for another"
            )


def whole(path: Path) -> Path:
    """Return the path from the root on: of `.` a name, and of a file not what a link points to."""
    return path.resolve() if path.is_dir() else path.absolute()


def _belongs(path: Path) -> bool:
    suffixes = (".json", *SAFETENSORS, *PICKLES)
    return path.is_file() and path.suffix in suffixes and not path.name.endswith(BESIDE)


def _config(path: Path) -> dict[str, Any] | None:
    """Return the config of a model of diffusers; None where there is none."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UsageError(f"{path / 'config.json'} is no JSON ({error}); restore it") from None
    return dict(config) if isinstance(config, dict) and "_class_name" in config else None


def record_beside(path: Path) -> Path:
    """Return where the record of a checkpoint lies when nobody says where."""
    return path.with_name(f"{path.name}{BESIDE}")


def record_of(path: Path) -> Path:
    """Return the record that lies beside a checkpoint, also one that the suite wrote.

    Raises:
        UsageError: there is none.
    """
    own, suite = record_beside(path), path.parent / RECORD
    if not own.exists() and path.name == CHECKPOINT and suite.exists():
        return suite
    if not own.exists():
        raise UsageError(
            f"there is no {own}; write it where the checkpoint is known to be good: "
            f"conformance record {path}"
        )
    return own


def manifest(files: tuple[Path, ...], tell: Tell = lambda _: None) -> dict[str, str]:
    """Return the 128-bit xxh3 of every file by name, read in pieces."""
    return {each.name: _digest(each, tell) for each in files}


def _digest(path: Path, tell: Tell) -> str:
    content = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            content.update(chunk)
            tell(len(chunk))
    return content.hexdigest()


def contents(weights: tuple[Path, ...], tell: Tell = lambda _: None) -> Contents:
    """Return what weight files hold, one tensor in memory at a time.

    Raises:
        ValueError: a file is damaged.
    """
    found: list[Piece] = []
    notes: dict[str, str] = {}
    for path in weights:
        for piece in _pieces(path):
            found.append(piece)
            tell(piece.bytes)
        notes |= _notes(path)
    return Contents(tuple(found), notes)


def _pieces(path: Path) -> Iterator[Piece]:
    if path.suffix in SAFETENSORS:
        yield from safetensors_pieces(path)
    elif zipfile.is_zipfile(path):  # torch before 1.6 wrote no zip files
        yield from torch_pieces(path)


def _notes(path: Path) -> dict[str, str]:
    if path.suffix in SAFETENSORS:
        return safetensors_metadata(path)
    return {f"{path.name}#globals": torch_globals(path)} if zipfile.is_zipfile(path) else {}


def changes(checkpoint: Checkpoint, record: Record, tell: Tell = lambda _: None) -> list[str]:
    """Say file by file in what this is another checkpoint than the one that was recorded.

    The suite's own records hold the sizes of files only.
    """
    if record.source is None:
        wanted: Mapping[str, object] = record.file_bytes
        got: Mapping[str, object] = checkpoint.sizes
    else:
        wanted, got = record.source.files, manifest(checkpoint.files, tell)
    by_name = {each.name: each for each in checkpoint.files}
    return [
        f"{name} {_change(by_name.get(name), name, record, is_new=name not in wanted)}"
        for name in sorted(wanted.keys() | got.keys())
        if wanted.get(name) != got.get(name)
    ]


def _change(path: Path | None, name: str, record: Record, *, is_new: bool) -> str:
    if path is None:
        return "is gone"
    if is_new:
        return "is new"
    if name == "config.json":
        return f"changed: {_names(_differing(record.config or {}, _config(path.parent) or {}))}"
    if path.suffix == ".json":
        return "changed"
    return f"changed: {_within(path, name, record)}"


def _within(path: Path, name: str, record: Record) -> str:
    try:
        now = contents((path,)).digests
    except ValueError as error:
        return f"it is damaged ({error})"
    of_file = (f"{name}/", f"{name}#")
    before = {key: each for key, each in record.digests.items() if key.startswith(of_file)}
    differing = [key[len(name) + 1 :] for key in _differing(before, now)]
    if not differing:
        return "the same contents in other bytes"
    count = sum(1 for key in before if key.startswith(of_file[0]))
    return f"{len(differing)} of {count} tensors and notes differ: {_names(differing)}"


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    nothing = object()
    keys = sorted(before.keys() | after.keys())
    return [key for key in keys if before.get(key, nothing) != after.get(key, nothing)]


def _names(names: list[str]) -> str:
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown or "the same values, written otherwise"
