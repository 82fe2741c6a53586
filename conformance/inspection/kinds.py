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
        weights = f"{self.weights} weights"
        activations = f"{self.activations} activations" if self.activations else "weight only"
        told = (weights, activations, self.granularity)
        return ", ".join(each for each in told if each)

    def agrees(self, asked: "Quantized", *, told: bool = True) -> bool:
        """Is a weight what a config asks for?

        Args:
            asked: What the config asks for; values that it leaves open agree with any.
            told: Does the weight's class tell how activations are quantized at all?
        """
        same = not asked.weights or _base(self.weights) == _base(asked.weights)
        silent = not told and not self.activations
        return same and (silent or self.activations == asked.activations)


TELLING = frozenset(
    {
        "AffineQuantizedTensor",
        "Float8Tensor",
        "Int8Tensor",
        "IntxUnpackedToInt8Tensor",
        "LinearActivationQuantizedTensor",
    }
)
"""Classes that tell how activations are quantized, be it by being wrapped or not."""


def _base(dtype: str) -> str:
    """`uint4` and `int4` are one to a config, and so are the kinds of float8."""
    return re.sub(r"^u(?=int)", "", dtype.partition("_")[0])


def describe(weight: Weight) -> Quantized:
    """Say what a quantized weight is."""
    data = _data(weight)
    return Quantized(_values(weight, data), _activations(weight), _granularity(weight))


def _data(weight: Weight) -> tuple[str, Part]:
    parts = {name.rsplit(".", 1)[-1]: part for name, part in weight.parts.items()}
    for name in DATA:
        if name in parts:
            return name, parts[name]
    rest = {name: part for name, part in parts.items() if not AROUND.search(name)}
    largest = max((rest or parts).items(), key=lambda each: each[1].bytes, default=None)
    return largest or ("", Part("", ()))


def _values(weight: Weight, data: tuple[str, Part]) -> str:
    """What the values are, which may be fewer bits than the dtype that holds them."""
    said = _ends(weight.attributes, ("target_dtype", "elem_dtype", "_elem_dtype"))
    bits = _ends(weight.attributes, ("bit_width",))
    ranges = [_ends(weight.attributes, (name,)) for name in ("quant_min", "quant_max")]
    held = data[1].dtype
    if isinstance(said, str):
        return said
    for start, word in NAMED.items():
        if any(each.startswith(start) for each in weight.subclass.split("/")):
            return word
    if isinstance(bits, int):
        return f"uint{bits}"
    return held if held.startswith("float") else _of_range(*ranges) or held


NAMED = {"Int4": "int4", "NVFP4": "nvfp4", "NF4": "nf4"}
"""Classes that hold one kind of values, whatever the dtype of their bytes."""


def _of_range(first: Any, last: Any) -> str:
    """Name the integers of a range: -8 to 7 are int4, and so are -7 to 7."""
    if not isinstance(first, int) or not isinstance(last, int):
        return ""
    if not -(2**16) < first <= 0 <= last < 2**16 or first == last:
        return ""
    if first == 0:
        return f"uint{last.bit_length()}"
    return f"int{max((-first).bit_length(), last.bit_length() + 1)}"


def _activations(weight: Weight) -> str:
    for name in ("act_quant_kwargs", "activation_quantization", "input_quant_func"):
        said = _ends(weight.attributes, (name,))
        if said:
            words = str(said).lower()
            known = ("nvfp4", "mx", "int8", "float8", "fp8")
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


def _granularity(weight: Weight) -> str:
    block = _ends(weight.attributes, ("block_size", "_block_size", "group_size"))
    if isinstance(block, int):
        return f"groups of {block}"
    if not isinstance(block, list) or len(block) != 2 or len(weight.shape) != 2:
        return ""
    rows, columns = block
    whole = weight.shape[-1]
    if (rows, columns) == weight.shape:
        return "per tensor"
    if rows == 1 and columns == whole:
        return "per row"
    return f"groups of {columns}" if rows == 1 else f"blocks of {rows} x {columns}"
