"""Weights as indices into a table of values."""

from conformance.axes.base import Needs, Scheme
from conformance.axes.needs import operator
from conformance.axes.payload import rowwise
from conformance.axes.recipes import dtype, recipe

PROTOTYPE = "torchao.prototype.quantization"
TENSOR = "CodebookQuantizedTensor"

SCHEMES = (
    Scheme(
        name="codebook4",
        title="4-bit indices into one table a weight, found by k-means",
        recipes=(
            recipe(
                f"{PROTOTYPE}.codebook.codebook_quantized_tensor:CodebookWeightOnlyConfig",
                TENSOR,
                dtype=dtype("uint4"),
                block_size=(1, 1),
            ),
            recipe(
                f"{PROTOTYPE}.codebook:codebook_weight_only",
                TENSOR,
                dtype=dtype("uint4"),
                block_size=(1, 1),
            ),
        ),
        payload=rowwise(4, 2, extra=32),
        sqnr=8.5,
        reduction=0.28,
        seconds=33,  # 2.2 s for a weight of 256 by 256, 10.9 s for one of 1024 by 256
    ),
    Scheme(
        name="codebook4-coreml",
        title="4-bit indices into a table for 32 columns, by coremltools",
        recipes=(
            recipe(
                f"{PROTOTYPE}.codebook_coreml:CodebookWeightOnlyConfig",
                TENSOR,
                dtype=dtype("uint4"),
                block_size=[-1, 32],
            ),
        ),
        payload=rowwise(8.5, 64),
        sqnr=8.5,
        reduction=0.6,
        multiple=32,
        quantizing=Needs(packages=("coremltools",)),
    ),
    Scheme(
        name="codebook4-groupwise",
        title="4-bit indices into a table for two rows, packed for the ARM kernel",
        recipes=(
            recipe(
                f"{PROTOTYPE}.codebook_groupwise.api:GroupwiseLutWeightConfig",
                "CodebookQuantizedPackedTensor",
                code_dtype=dtype("int4"),
            ),
        ),
        payload=rowwise(5, 64),
        sqnr=8.5,
        reduction=0.4,
        multiple=32,
        quantizing=Needs(
            packages=("coremltools",),
            probe=operator(
                "torchao::_pack_groupwise_4bit_weight_with_lut",
                "CPU",
                "torchao's low-bit kernel library is not loaded",
            ),
        ),
    ),
)
