"""Every weight comes back as the tensor subclass that was saved.

`Int8Tensor` must not come back as a plain tensor (silently dequantized, or never quantized), nor a
plain tensor as a subclass. Where subclasses nest, as with `AffineQuantizedTensor`, every level
counts.

What to do: a plain tensor in place of a subclass usually means that the loader did not find the
metadata that rebuilds it.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the class names, nested ones included."""
    for key, before, after in evidence.pairs():
        # A parameter that holds a plain tensor is a plain tensor.
        if (before.quantized or after.quantized) and before.subclass != after.subclass:
            yield Difference(key, "tensor subclass differs", before.subclass, after.subclass)


CHECK = Check("subclass", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
