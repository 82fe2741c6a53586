"""A model that is dequantized and then saved: a plain bf16 checkpoint must come of it.

`dequantized-<kind>` asks the model itself, `model.dequantize()`, which a model has that was loaded
with a quantizer. `dequantized-weights-<kind>` asks each weight, which is all that a model has that
was quantized by `quantize_`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance.axes.altering import Alteration
from conformance.axes.base import Format
from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import REPRESENTATIVE, from_pretrained, recipe, save_pretrained
from conformance.axes.source import FormatScript


class StillQuantizedError(Exception):
    """A model was dequantized without an error, and has quantized weights."""


def by_model(model: Any) -> Any:
    """Call `model.dequantize()`.

    Raises:
        StillQuantizedError: it left quantized weights.
    """
    return _plain(model.dequantize())


def by_weight(model: Any) -> Any:
    """Put `weight.dequantize()` in the place of every quantized weight.

    Raises:
        StillQuantizedError: what came out is a quantized weight.
    """
    import torch

    for module in model.modules():
        if hasattr(getattr(module, "weight", None), "__tensor_flatten__"):
            module.weight = torch.nn.Parameter(module.weight.dequantize())
    return _plain(model)


def _plain(model: Any) -> Any:
    weights = dict(model.named_parameters())
    left = [name for name, each in weights.items() if hasattr(each, "__tensor_flatten__")]
    if left:
        raise StillQuantizedError(f"{len(left)} of {len(weights)} parameters are quantized")
    return model


STILL = """\
if any(hasattr(each, "__tensor_flatten__") for each in model.parameters()):
    raise type("StillQuantizedError", (Exception,), {{}})("parameters are quantized")"""
BY_WEIGHT = """\
for each in model.modules():
    if hasattr(getattr(each, "weight", None), "__tensor_flatten__"):
        each.weight = torch.nn.Parameter(each.weight.dequantize())"""


def _format(
    name: str, asked: str, dequantize: Callable[[Any], Any], lines: str, kind: str
) -> Format:
    safe = kind == "safetensors"
    return Format(
        name=f"{name}-{kind}",
        title=f"{asked}, then `save_pretrained(safe_serialization={safe})`",
        save=partial(save_pretrained, options={"safe_serialization": safe}),
        load=partial(from_pretrained, options=recipe(safetensors=safe)),
        read=read_safetensors if safe else read_torch,
        schemes=REPRESENTATIVE,
        extra=True,
        alters=Alteration(quantized=dequantize),
        script=FormatScript(
            alters=lines,
            save=f"model.save_pretrained(directory, safe_serialization={safe})",
            load="loaded = {model}.from_pretrained(\n"
            f"    directory, torch_dtype=torch.bfloat16, use_safetensors={safe}{{placed}}\n)",
        ),
    )


FORMATS = tuple(
    _format(name, asked, dequantize, lines, kind)
    for name, asked, dequantize, lines in (
        ("dequantized", "`model.dequantize()`", by_model, f"model = model.dequantize()\n{STILL}"),
        ("dequantized-weights", "`weight.dequantize()` of each", by_weight, BY_WEIGHT),
    )
    for kind in ("pickle", "safetensors")
)
