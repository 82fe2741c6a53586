"""What a weight may take on disk, and what a wider scale counts."""

import pytest

from conformance.roundtrip.checks.payload import bytes_as_of_bf16, most_bytes
from conformance.roundtrip.facts import Inner, ModelFacts, TensorFacts

BF16, FLOAT32, INT8 = "torch.bfloat16", "torch.float32", "torch.int8"


def weight(dtype: str, scale: str, subclass: str = "Int8Tensor") -> TensorFacts:
    """Return a weight of 4 x 8 int8 with a scale a row."""
    width = 4 if scale == FLOAT32 else 2
    inner = {
        "qdata": Inner(INT8, (4, 8), (8, 1), "cpu", 32, "a"),
        "scale": Inner(scale, (4, 1), (1, 1), "cpu", 4 * width, "b"),
    }
    return TensorFacts("parameter", subclass, dtype, (4, 8), (8, 1), False, {}, inner)


@pytest.mark.parametrize(
    ("dtype", "scale", "counted"),
    [(BF16, BF16, 40), (BF16, FLOAT32, 48), (FLOAT32, FLOAT32, 40), (FLOAT32, BF16, 40)],
)
def test_a_wide_scale_counts_less_where_the_weight_was_wide(
    dtype: str, scale: str, counted: int
) -> None:
    assert bytes_as_of_bf16(weight(dtype, scale)) == counted


def test_the_most_that_files_hold_has_room_for_wide_scales() -> None:
    tensors = {
        "a": weight(BF16, BF16),
        "b": weight(FLOAT32, FLOAT32),
        "c": weight(BF16, BF16, "Tensor"),
    }
    assert most_bytes(ModelFacts(tensors, ()), lambda _shape: 44) == 44 + (44 + 8) + 40
