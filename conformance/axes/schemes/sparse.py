"""Sparse weights that are not quantized, by the same `quantize_`."""

from collections.abc import Sequence
from math import prod

from conformance.axes.base import Scheme
from conformance.axes.needs import AMPERE, CUDA
from conformance.axes.payload import tensorwise
from conformance.axes.recipes import recipe

SPARSITY = "torchao.sparsity.sparse_api"
BLOCK = 32


def _blocks(shape: Sequence[int]) -> int:
    """Nothing is dropped: every value, and indices of eight bytes."""
    rows = shape[0] // BLOCK
    return 2 * prod(shape) + 8 * (rows + 1 + prod(shape) // BLOCK**2)


SCHEMES = (
    Scheme(
        name="semi-sparse",
        title="bf16 weights with 2:4 sparsity",
        recipes=(
            recipe(
                f"{SPARSITY}:SemiSparseWeightConfig",
                "SparseSemiStructuredTensorCUSPARSELT",
                "SparseSemiStructuredTensorCUTLASS",
                "SparseSemiStructuredTensor",
            ),
            recipe(f"{SPARSITY}:semi_sparse_weight", "SparseSemiStructuredTensor"),
        ),
        # Half of the values, and two bits for each that is kept.
        payload=tensorwise(9, 0),
        sqnr=None,  # half of the weights are dropped
        reduction=0.62,
        multiple=64,
        rows=32,
        quantizing=AMPERE,
        kernel=AMPERE,
    ),
    Scheme(
        name="block-sparse",
        title="bf16 weights in blocks of 32 by 32, none dropped",
        recipes=(
            recipe(f"{SPARSITY}:BlockSparseWeightConfig", "BlockSparseTensor", blocksize=BLOCK),
            recipe(f"{SPARSITY}:block_sparse_weight", "BlockSparseTensor", blocksize=BLOCK),
        ),
        payload=_blocks,
        sqnr=40.0,
        reduction=1.02,
        multiple=BLOCK,
        rows=BLOCK,
        kernel=CUDA,
    ),
)
