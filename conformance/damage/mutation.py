"""One small harm to the files of a checkpoint, with a name that says which."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from conformance._compat import StrEnum

Files = Mapping[str, bytes]
"""The files of a checkpoint by name: tiny ones, held in memory."""


class Kind(StrEnum):
    """What is done to a checkpoint."""

    TRUNCATED = "truncated"
    """A file ends at a boundary of its structure."""
    HEADER_BIT = "header-bit"
    """A bit of a safetensors header, or of the headers and the directory of a zip archive."""
    METADATA_BIT = "metadata-bit"
    """A bit of a safetensors file's metadata, of a pickle, or of a JSON file."""
    PAYLOAD_BIT = "payload-bit"
    """A bit of a tensor."""
    PAYLOAD_REWRITTEN = "payload-rewritten"
    """A byte of a tensor in a zip archive, with the checksum made anew."""
    SHARD_MISSING = "shard-missing"
    """A shard, or the index, is not there."""
    SHARDS_SWAPPED = "shards-swapped"
    """Two shards have each other's names."""
    SHARD_DUPLICATED = "shard-duplicated"
    """A shard lies under another's name, too."""
    SHARD_STALE = "shard-stale"
    """A shard is that of an earlier save, with other weights."""
    INDEX = "index"
    """The index says something wrong."""
    CONFIG_MISSING = "config-missing"
    """There is no `config.json`, or nothing in it."""
    CONFIG_EDITED = "config-edited"
    """A value of `config.json` is gone or another."""
    METADATA_STRIPPED = "metadata-stripped"
    """A safetensors file lost its metadata, or an entry of it."""
    METADATA_EDITED = "metadata-edited"
    """A value in a safetensors file's metadata, or a class that a pickle names, is another."""
    KEY_RENAMED = "key-renamed"
    """A tensor has another name."""
    KEY_DROPPED = "key-dropped"
    """A tensor is not named any more."""
    KEYS_SWAPPED = "keys-swapped"
    """Two tensors of one dtype and shape have each other's names."""
    DTYPE_EDITED = "dtype-edited"
    """A tensor's dtype is another."""
    SHAPE_EDITED = "shape-edited"
    """A tensor's shape, or a number in the pickle, is another."""
    ABSURD = "absurd"
    """A length or size that no file has."""
    BOMB = "bomb"
    """An entry of a zip archive that unpacks to far more than it is."""
    EXECUTES = "executes"
    """A pickle that a plain load would execute."""
    ANYWHERE = "anywhere"
    """Bytes are changed, zeroed, taken out or put in anywhere."""


@dataclass(frozen=True)
class Mutation:
    """One harm; `apply` returns the files as they are afterwards and changes nothing itself."""

    kind: Kind
    name: str
    """What exactly, without spaces: `diffusion_pytorch_model.safetensors@118600`."""
    apply: Callable[[Files], Files] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """`kind/name`, unique among the mutations of a checkpoint."""
        return f"{self.kind}/{self.name}"


def edited(name: str, change: Callable[[bytes], bytes]) -> Callable[[Files], Files]:
    """Return a mutation's `apply` that changes one file."""
    return lambda files: {**files, name: change(files[name])}


def without(name: str) -> Callable[[Files], Files]:
    """Return a mutation's `apply` that removes one file."""
    return lambda files: {each: data for each, data in files.items() if each != name}


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """Return the bytes with one bit, 0 to 7, turned over."""
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def slug(text: object) -> str:
    """Return text as a part of a mutation's name: no spaces, quotes or wildcards."""
    return re.sub(r"[^\w.,:@=+~-]+", "_", str(text))[:80]
