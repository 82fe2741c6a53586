"""Blocks within super-blocks of 256, as in GGUF's K-quants."""

from conformance.axes.base import Scheme
from conformance.axes.payload import grouped
from conformance.axes.recipes import recipe

SCHEMES = (
    Scheme(
        name="gguf4",
        title="weights of 4 bits in super-blocks of 256, as GGUF's Q4_K",
        recipes=(
            recipe(
                "torchao.prototype.quantization.gguf.api:GGUFWeightOnlyConfig",
                "GGUFQuantizedTensor",
            ),
        ),
        # The codes are kept in bfloat16 and not even rounded: larger than what they replace.
        payload=grouped(16, 256, 288),
        sqnr=10.0,
        # (16 + 288 / 256) / 16 is 1.0703, where it covers every weight.
        reduction=1.08,
        multiple=256,
    ),
)
