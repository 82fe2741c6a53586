"""Every tensor and every inner tensor comes back in the shape and with the strides that were saved.

Strides count because kernels read memory, not indices: a weight that was packed column by column
and comes back row by row has equal values and another meaning to a kernel.

What to do: a transposed stride with equal bits points to a save that made the tensor contiguous.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare shapes, then strides where the shapes agree."""
    for key, before, after in evidence.pairs():
        yield from _compare(key, before, after)
        for name in sorted(before.inner.keys() & after.inner.keys()):
            if before.quantized:
                yield from _compare(f"{key}/{name}", before.inner[name], after.inner[name])


def _compare(path: str, before: object, after: object) -> Iterator[Difference]:
    for fact in ("shape", "stride"):
        wanted, got = getattr(before, fact), getattr(after, fact)
        if wanted != got:
            yield Difference(path, f"{fact} differs", wanted, got)
            return


CHECK = Check("shape", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
