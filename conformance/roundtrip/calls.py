"""How far a forward pass is, by the Linears that have been called, and how far a digest is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook

from conformance.roundtrip.facts import ModelFacts, TensorFacts
from conformance.roundtrip.ladder import Ladder
from conformance.roundtrip.observe import bytes_of, observe

BF16 = 2
"""Bytes of a number of the unquantized model, by which progress is told."""


@contextmanager
def calling(ladder: Ladder, part: str, model: Any) -> Iterator[None]:
    """Measure a part in which a large model is called; whoever looks on sees how far it is.

    Args:
        ladder: measures the part, where the case is large.
        part: its name.
        model: what is called.
    """
    if ladder.footprint is None:
        yield
        return
    called = 0

    def count(module: Any, _arguments: Any, _output: Any) -> None:
        nonlocal called
        called += size(module)

    hook = register_module_forward_hook(count)
    try:
        with ladder.part(part, sum(map(size, model.modules())), lambda: called):
            yield
    finally:
        hook.remove()


def size(module: Any) -> int:
    """Return the bytes that the weight of a Linear has in bf16; 0 for other modules."""
    if not isinstance(module, torch.nn.Linear):
        return 0
    return int(BF16 * module.in_features * module.out_features)


def observed(model: Any, ladder: Ladder) -> ModelFacts:
    """Return the facts of a model that was quantized; whoever looks on sees how far that is."""
    done = 0

    def count(facts: TensorFacts) -> None:
        nonlocal done
        done += facts.bytes

    with ladder.part("digest", bytes_of(model) if ladder.footprint else 0, lambda: done):
        return observe(model, count)
