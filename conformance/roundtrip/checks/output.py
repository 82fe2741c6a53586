"""The reloaded model gives the same output, bit for bit, for the same seeded inputs.

The same model called twice must already be bit-equal; that control runs first, and a case that
fails it has no result. Kernels that differ between two equal models would show here and nowhere
else.

What to do: if `bits` and `attributes` are silent, the two models hold the same weights and compute
differently: compare the forward passes layer by layer.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare dtype, shape and digest of the output."""
    wanted, got = evidence.record.output, evidence.output
    # Without an output there is a failure, or a tensor on meta: another check says so.
    if wanted is None or got is None or wanted == got:
        return
    where = evidence.explain("output:quantized")
    yield Difference("output", "output differs", wanted.digest, where or got)


CHECK = Check("output", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
