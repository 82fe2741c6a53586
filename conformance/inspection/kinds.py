"""What a tensor subclass is, in words: from its parts and attributes, whatever its class."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.inspection.weights import Part, Weight

DATA = ("qdata", "int_data", "float8_data", "packed_weight", "packed_weights", "quantized_data")
"""What releases call the quantized values."""
AROUND = re.compile(r"scale|zero|codebook|meta|bias|compensation|absmax|quantiles|offset")
"""Names of what stands beside the quantized values."""


@dataclass(frozen=True)
class Quantized:
    """A kind of quantization."""

    weights: str
    """`int8`, `uint4`, `float8_e4m3fn` ..."""
    activations: str = ""
    """What activations are quantized to while it computes; empty for weight only."""
    granularity: str = ""
    """`per row`, `groups of 32` ..."""

    def __str__(self) -> str:
        how = f"{self.activations} activations" if self.activations else "weight only"
        return ", ".join(each for each in (f"{self.weights} {how}", self.granularity) if each)

    def agrees(self, other: "Quantized") -> bool:
        """Can both be said of one weight? What one side leaves open agrees with anything."""
        open_ = not self.weights or not other.weights
        same = open_ or _base(self.weights) == _base(other.weights)
        return same and _base(self.activations) == _base(other.activations)


def _base(dtype: str) -> str:
    """`uint4` and `int4` are one to a config, and so are the kinds of float8."""
    return re.sub(r"^u(?=int)", "", dtype.partition("_")[0])


def describe(weight: Weight) -> Quantized:
    """Say what a quantized weight is."""
    data = _data(weight)
    return Quantized(
        _values(weight, data), _activations(weight), _granularity(weight.attributes, weight, data)
    )


def _data(weight: Weight) -> tuple[str, Part]:
    parts = {name.rsplit(".", 1)[-1]: part for name, part in weight.parts.items()}
    for name in DATA:
        if name in parts:
            return name, parts[name]
    rest = {name: part for name, part in parts.items() if not AROUND.search(name)}
    largest = max((rest or parts).items(), key=lambda each: each[1].bytes, default=None)
    return largest or ("", Part("", ()))


RANGES = {(-8, 7): "int4", (0, 15): "uint4", (-128, 127): "int8", (0, 255): "uint8"}


def _values(weight: Weight, data: tuple[str, Part]) -> str:
    """What the values are, which may be fewer bits than the dtype that holds them."""
    said = _ends(weight.attributes, ("target_dtype", "elem_dtype"))
    ranges = tuple(_ends(weight.attributes, (name,)) for name in ("quant_min", "quant_max"))
    held = data[1].dtype
    if isinstance(said, str):
        return said
    if any(each.startswith("Int4") for each in weight.subclass.split("/")):
        return "int4"
    if "NVFP4Tensor" in weight.subclass:
        return "nvfp4"
    return held if held.startswith("float") else RANGES.get(ranges, held)


def _activations(weight: Weight) -> str:
    for name in ("act_quant_kwargs", "activation_quantization", "input_quant_func"):
        said = _ends(weight.attributes, (name,))
        if said:
            words = str(said).lower()
            known = ("int8", "float8", "fp8", "nvfp4", "mx")
            found = next((each for each in known if each in words), "quantized")
            return {"fp8": "float8"}.get(found, found)
    return ""


def _ends(attributes: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first attribute of such a name, at whatever depth."""
    for name in names:
        for key, value in attributes.items():
            if key.rsplit(".", 1)[-1] == name:
                return value
    return None


def _granularity(attributes: Mapping[str, Any], weight: Weight, data: tuple[str, Part]) -> str:
    block = _ends(attributes, ("block_size",))
    if isinstance(block, int):
        return f"groups of {block}"
    if not isinstance(block, list) or len(block) != 2 or len(weight.shape) != 2:  # noqa: PLR2004
        return ""
    rows, columns = block
    whole = weight.shape[-1]
    if (rows, columns) == weight.shape:
        return "per tensor"
    if rows == 1 and columns == whole:
        return "per row"
    return f"groups of {columns}" if rows == 1 else f"blocks of {rows} x {columns}"
