"""4-bit normal floats, scales quantized too."""

from conformance.axes.base import Scheme
from conformance.axes.payload import grouped
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import recipe

# The blocks divide every weight of the subjects: 512 elements share what is kept once.
BLOCK, SCALERS = 32, 16
TENSORS = {0: ("NF4Tensor",), 1: ("NF4Tensor",)}
SIZES = {"block_size": BLOCK, "scaler_block_size": SCALERS}


def _config(module: str) -> Recipe:
    # The class lacks the decorator of its siblings: it takes no arguments, attributes do.
    return Recipe(f"{module}:NF4WeightOnlyConfig", TENSORS, settings=SIZES)


SCHEMES = (
    Scheme(
        name="nf4",
        title="4-bit normal floats with quantized scales",
        recipes=(
            _config("torchao.prototype._nf4tensor_api"),
            _config("torchao.dtypes._nf4tensor_api"),
            recipe("torchao.dtypes.nf4tensor:nf4_weight_only", "NF4Tensor", **SIZES),
        ),
        # A byte for the scale of a block, two for 16 of those, and the table of 16 values.
        payload=grouped(4 + 16 / (BLOCK * SCALERS), BLOCK, 8, extra=34),
        sqnr=11.0,
        reduction=0.28,
    ),
)
