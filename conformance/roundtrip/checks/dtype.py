"""Every tensor and every inner tensor comes back in the dtype that was saved.

A quantized weight has the dtype that it shows to the model (bfloat16) and the dtypes of its inner
tensors (int8 data, float32 scale). Both count, and so do biases and norms: `from_pretrained`
without `torch_dtype` gives float32 biases beside bfloat16 weights.

What to do: look at the `torch_dtype` that the reader gave.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare outer and inner dtypes."""
    for key, before, after in evidence.pairs():
        if before.dtype != after.dtype:
            yield Difference(key, "dtype differs", before.dtype, after.dtype)
        for name in before.inner.keys() & after.inner.keys():
            wanted, got = before.inner[name].dtype, after.inner[name].dtype
            if wanted != got and before.quantized:
                yield Difference(f"{key}/{name}", "inner dtype differs", wanted, got)


CHECK = Check("dtype", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
