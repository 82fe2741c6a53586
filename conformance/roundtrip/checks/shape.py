"""Every tensor and every inner tensor comes back in the shape and with the strides that were saved.

Strides count because kernels read memory, not indices: a weight that was packed column by column
and comes back row by row has equal values and another meaning to a kernel.

What to do: a transposed stride with equal bits points to a save that made the tensor contiguous.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.facts import Inner, TensorFacts
from conformance.roundtrip.outcome import Harm, Stage

Laid = TensorFacts | Inner


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare shapes, then strides where the shapes agree."""
    for key, before, after in evidence.pairs():
        yield from _compare(key, before, after)
        for name in sorted(before.inner.keys() & after.inner.keys()):
            if before.quantized:
                yield from _compare(f"{key}/{name}", before.inner[name], after.inner[name])


def _compare(path: str, before: Laid, after: Laid) -> Iterator[Difference]:
    if before.shape != after.shape:
        yield Difference(path, "shape differs", before.shape, after.shape)
    elif _steps(before) != _steps(after):
        yield Difference(path, "stride differs", before.stride, after.stride)


def _steps(laid: Laid) -> list[int]:
    """Return the strides that are ever taken: along a dimension of size 1 there is no step."""
    return [step for size, step in zip(laid.shape, laid.stride, strict=True) if size > 1]


CHECK = Check("shape", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
