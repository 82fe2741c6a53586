"""Facts about the tensors of a model, as plain data: two sides are compared as facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Inner:
    """A plain tensor that holds bits: an inner tensor of a subclass, or a plain weight itself."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    device: str
    bytes: int
    digest: str
    """128-bit xxh3 of the elements in row-major order, in hex; empty on the meta device."""


@dataclass(frozen=True)
class TensorFacts:
    """One entry of a state dict, or one buffer that is kept out of it."""

    kind: str
    """`parameter`, `buffer` or `non-persistent buffer`; `entry` in a plain state dict."""
    subclass: str
    """Class name; nested tensor subclasses follow behind a slash."""
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    requires_grad: bool
    attributes: Mapping[str, Any]
    """What `__tensor_flatten__` says beside the inner tensors, as JSON."""
    inner: Mapping[str, Inner]
    """Inner tensors by dotted name; a plain tensor has one, named `data`."""

    @property
    def quantized(self) -> bool:
        """Is it a tensor subclass?"""
        return self.subclass not in PLAIN

    @property
    def bytes(self) -> int:
        """Bytes of all inner tensors together."""
        return sum(inner.bytes for inner in self.inner.values())


PLAIN = frozenset({"Tensor", "Parameter"})


@dataclass(frozen=True)
class ModelFacts:
    """All tensors of a model, and which of them lie in the same memory."""

    tensors: Mapping[str, TensorFacts]
    aliases: tuple[tuple[str, ...], ...]
    """Groups of `key/inner` whose memory overlaps."""

    @property
    def quantized(self) -> dict[str, TensorFacts]:
        """The tensor subclasses by key."""
        return {key: facts for key, facts in self.tensors.items() if facts.quantized}

    @property
    def saved(self) -> dict[str, TensorFacts]:
        """What a state dict holds."""
        return {
            key: facts
            for key, facts in self.tensors.items()
            if facts.kind != "non-persistent buffer"
        }

    @property
    def unsaved_bytes(self) -> int:
        """Bytes of the buffers that no state dict holds."""
        unsaved = self.tensors.keys() - self.saved.keys()
        return sum(self.tensors[key].bytes for key in unsaved)

    def leaves(self) -> Iterator[tuple[str, str, Inner]]:
        """Yield `(key, inner name, inner)` for everything that holds bits."""
        for key, facts in self.tensors.items():
            for name, inner in facts.inner.items():
                yield key, name, inner

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return {
            # Not `asdict`, which copies deeply and takes longer than reading the model's bits.
            "tensors": {key: _as_json(facts) for key, facts in self.tensors.items()},
            "aliases": [list(group) for group in self.aliases],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ModelFacts":
        """Rebuild from `to_json`'s dictionary."""
        tensors = {key: _tensor_facts(value) for key, value in data["tensors"].items()}
        return cls(tensors, tuple(tuple(group) for group in data["aliases"]))


def _as_json(facts: TensorFacts) -> dict[str, Any]:
    return {**vars(facts), "inner": {name: vars(inner) for name, inner in facts.inner.items()}}


def _tensor_facts(data: Mapping[str, Any]) -> TensorFacts:
    inner = {
        name: Inner(**{**each, "shape": tuple(each["shape"]), "stride": tuple(each["stride"])})
        for name, each in data["inner"].items()
    }
    return TensorFacts(
        **{**data, "shape": tuple(data["shape"]), "stride": tuple(data["stride"]), "inner": inner}
    )
