"""What a file of weights says it holds, whatever its format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from conformance._compat import StrEnum
from conformance.inspection.findings import Finding


class Container(StrEnum):
    """How a file keeps its weights."""

    PICKLE = "pickle"
    """A zip archive of `torch.save`, or its older stream."""
    COLON = "safetensors, names with a colon"
    """`0.weight:qdata`."""
    UNDERSCORE = "safetensors, names with an underscore"
    """`0._weight_qdata`."""
    SAFETENSORS = "safetensors"
    """Plain tensors only."""


BITS = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 64),
    **dict.fromkeys(("float32", "int32", "uint32", "complex32", "qint32"), 32),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16", "bits16"), 16),
    "complex128": 128,
    "float4_e2m1fn_x2": 8,
}
"""Bits of an element in memory by dtype; every other dtype takes a byte."""


def width(dtype: str) -> int:
    """Return the bytes of an element in memory."""
    return BITS.get(dtype, 8) // 8


@dataclass(frozen=True)
class Part:
    """A plain tensor: a plain weight, or an inner tensor of a subclass."""

    dtype: str
    shape: tuple[int, ...]
    storage: str = ""
    """Names the bytes that it is cut out of; equal within a file where they are shared."""

    @property
    def bytes(self) -> int:
        """Bytes of its elements."""
        return prod(self.shape) * width(self.dtype)


@dataclass(frozen=True)
class Weight:
    """One entry of a state dict."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    parts: Mapping[str, Part]
    """By dotted name; a plain weight has one, named `data`."""
    classes: tuple[str, ...] = ()
    """Full names of the tensor subclasses, outermost first; safetensors knows only short ones."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What a subclass holds beside its inner tensors, JSON-ready, by dotted name."""

    @property
    def quantized(self) -> bool:
        """Is it a tensor subclass?"""
        return bool(self.classes)

    @property
    def subclass(self) -> str:
        """Short class names with a slash between, as records have them."""
        return "/".join(each.rsplit(".", 1)[-1] for each in self.classes)

    @property
    def bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.bytes for part in self.parts.values())


@dataclass(frozen=True)
class File:
    """One file of weights."""

    name: str
    """Relative to what is inspected."""
    size: int
    """Bytes on disk."""
    container: Container | None
    """None where it is not readable."""
    weights: tuple[Weight, ...] = ()
    loose: Mapping[str, Part] = field(default_factory=dict)
    """Tensors of a safetensors file that belong to a subclass, by their name in the file."""
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the metadata of a safetensors file says of each subclass, by key."""
    promised: tuple[str, ...] = ()
    """Keys of the whole state dict, as torchao's metadata has them."""
    names: tuple[str, ...] = ()
    """What a pickle names."""
    findings: tuple[Finding, ...] = ()
    bytes_read: int = 0

    @property
    def keys(self) -> frozenset[str]:
        """The names by which an index knows what is in it."""
        return frozenset({*(each.key for each in self.weights), *self.loose})


def payload(weights: Iterable[Weight]) -> int:
    """Return the bytes of all weights together."""
    return sum(each.bytes for each in weights)


def short(names: Iterable[str]) -> Iterator[str]:
    """Yield class names without their modules."""
    return (each.rsplit(".", 1)[-1] for each in names)
