"""Every inner tensor comes back bit for bit, optional ones too.

A 128-bit digest of every inner tensor is compared; no tolerance. A flipped bit in an int8 weight
moves the output by less than 1e-3 and is found here. An optional inner tensor (`zero_point`) that
is not there any more, or that appeared, is a finding.

What to do: for models with an oracle the finding says how many elements differ and where the first
one is. One element points to damage on disk, all elements to another computation.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare digests, where the subclass is the same and there is data."""
    for key, before, after in evidence.pairs():
        if before.subclass != after.subclass and (before.quantized or after.quantized):
            continue
        for name in sorted(before.inner.keys() | after.inner.keys()):
            path = f"{key}/{name}"
            wanted, got = before.inner.get(name), after.inner.get(name)
            if got is None:
                yield Difference(path, "inner tensor is missing", name, "nothing")
            elif wanted is None:
                yield Difference(path, "inner tensor is unexpected", "nothing", name)
            elif got.digest and wanted.digest != got.digest:
                where = evidence.explain(path)
                yield Difference(path, "bits differ", wanted.digest, where or got.digest)


CHECK = Check("bits", Stage.BITS, Side.READER, Harm.CORRUPT, run)
