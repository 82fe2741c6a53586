"""How many bytes the inner tensors of a quantized weight may hold, as functions of its shape."""

from collections.abc import Sequence
from math import ceil, prod

from conformance.axes.base import PayloadLimit


def _rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    return shape[0], prod(shape[1:])


def _up(size: int, multiple: int) -> int:
    return ceil(size / multiple) * multiple


def tensorwise(weight_bits: float, extra: int) -> PayloadLimit:
    """Weights of so many bits and `extra` bytes for the whole tensor."""
    return lambda shape: ceil(prod(shape) * weight_bits / 8) + extra


def rowwise(weight_bits: float, row_bytes: int, extra: int = 0) -> PayloadLimit:
    """Weights of so many bits, `row_bytes` for every row, `extra` for the whole tensor."""
    return lambda shape: ceil(prod(shape) * weight_bits / 8) + shape[0] * row_bytes + extra


def grouped(
    weight_bits: float, group: int, group_bits: int, row_bytes: int = 0, extra: int = 0
) -> PayloadLimit:
    """Weights of so many bits, `group_bits` for every started group along a row."""

    def limit(shape: Sequence[int]) -> int:
        rows, columns = _rows_and_columns(shape)
        groups = rows * ceil(columns / group)
        return (
            ceil((rows * columns * weight_bits + groups * group_bits) / 8)
            + rows * row_bytes
            + extra
        )

    return limit


def swizzled(weight_bits: float, block: int, extra: int = 0) -> PayloadLimit:
    """One byte for every block; the scales lie in tiles of 128 rows by 4 blocks, padded."""

    def limit(shape: Sequence[int]) -> int:
        rows, columns = _rows_and_columns(shape)
        scales = _up(rows, 128) * _up(ceil(columns / block), 4)
        return ceil(rows * columns * weight_bits / 8) + scales + extra

    return limit


def padded(limit: PayloadLimit, rows: int, columns: int) -> PayloadLimit:
    """The limit of the shape rounded up to these multiples, for kernels that pad the weight."""

    def rounded(shape: Sequence[int]) -> int:
        height, width = _rows_and_columns(shape)
        return limit((_up(height, rows), _up(width, columns)))

    return rounded
