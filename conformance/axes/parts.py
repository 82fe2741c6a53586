"""Parts of tensor subclasses, made from a bf16 weight by torch alone.

For machines whose kernels cannot quantize: the values need not be those of the kernel, but
their dtypes, shapes and strides are, so that everything about storage can be judged.
"""

import importlib
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

Builder = Callable[[Any, Any], Any]


def divided(rows: int, columns: int) -> Callable[[Builder], Builder]:
    """Let a storage builder leave a weight that does not divide, as torchao's handlers do."""

    def decorate(build: Builder) -> Builder:
        @wraps(build)
        def guarded(weight: Any, config: Any) -> Any:
            fits = weight.shape[0] % rows == 0 and weight.shape[-1] % columns == 0
            return build(weight, config) if fits else weight.detach()

        return guarded

    return decorate


class Groups(NamedTuple):
    """A weight rounded to unsigned integers, group by group along its rows."""

    codes: Any
    """uint8, the shape of the weight."""
    scale: Any
    """float32, (rows, groups)."""
    low: Any
    """float32, (rows, groups): what code 0 stands for."""

    @property
    def zero_point(self) -> Any:
        """The code that stands for 0, as a float."""
        return -(self.low / self.scale).round()


def groups(weight: Any, group: int, bits: int = 4) -> Groups:
    """Round a weight to `bits` bits with one scale and one offset for every group."""
    rows, columns = weight.shape
    top = 2**bits - 1
    blocks = weight.detach().float().reshape(rows, columns // group, group)
    low, high = blocks.aminmax(dim=-1, keepdim=True)
    scale = (high - low).clamp(min=1e-6) / top
    codes = ((blocks - low) / scale).round().clamp(0, top)
    torch = importlib.import_module("torch")
    return Groups(codes.to(torch.uint8).reshape(rows, columns), scale[..., 0], low[..., 0])


def nibbles(codes: Any) -> Any:
    """Pack two 4-bit codes of a row into one byte."""
    return codes[:, 1::2] << 4 | codes[:, ::2]


def words(codes: Any, shape: Sequence[int]) -> Any:
    """Pack eight 4-bit codes into an int32 and give the result this shape."""
    torch = importlib.import_module("torch")
    return nibbles(codes).contiguous().view(torch.int32).reshape(shape)


def by_group(values: Any, dtype: Any) -> Any:
    """Lay (rows, groups) out as torchao's int4 kernels read them: (groups, rows)."""
    return values.to(dtype).t().contiguous()
