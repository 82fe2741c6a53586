"""The attributes of every tensor subclass come back: block size, granularity, kernel choice ...

Whatever `__tensor_flatten__` names beside the inner tensors decides what the bits mean: with
another block size the same bits are other weights. A value that is equal but of another container
type (a tuple that comes back as a list) is reported as `altered`: weights and outputs are the same,
but torchao compares attributes with `==` when it copies one tensor into another, and there a tuple
is not a list. A `requires_grad` that a subclass keeps among its attributes (NF4) is `altered`, too.

What to do: look how the format writes the attribute; JSON knows no tuples.
"""

from collections.abc import Iterator
from typing import Any

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage

SEQUENCES = frozenset({"tuple", "Size"})


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare attributes by name, where the subclass is the same."""
    for key, before, after in evidence.pairs():
        if before.subclass != after.subclass:
            continue
        wanted, got = before.attributes, after.attributes
        for name in sorted(wanted.keys() | got.keys()):
            if wanted.get(name) != got.get(name) or (name in wanted) != (name in got):
                yield _difference(f"{key}/{name}", name, wanted.get(name), got.get(name))


def _difference(path: str, name: str, wanted: Any, got: Any) -> Difference:
    if _as_lists(wanted) == _as_lists(got):
        return Difference(path, f"container type of {name} differs", wanted, got, Harm.ALTERED)
    if _unflagged(wanted) == _unflagged(got):
        return Difference(path, f"requires_grad in {name} differs", wanted, got, Harm.ALTERED)
    return Difference(path, f"{name} differs", wanted, got)


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= SEQUENCES:
            return _as_lists(next(iter(value.values())))
        return {name: _as_lists(each) for name, each in value.items()}
    return [_as_lists(each) for each in value] if isinstance(value, list) else value


def _unflagged(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unflagged(each) for key, each in value.items() if key != "requires_grad"}
    return value


CHECK = Check("attributes", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
