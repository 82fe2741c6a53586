"""`quantize_` on a model that is in memory: the published recipe."""

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance.axes.base import Quantized, Route
from conformance.axes.source import Source
from conformance.axes.storage import storage_in_place_of_quantizing


def quantize(model: Any, how: Quantized) -> Any:
    """Apply `torchao.quantization.quantize_` in place and return the model."""
    from torchao.quantization import quantize_

    with storage_in_place_of_quantizing(how):
        quantize_(model, how.quantization.config, **_options(model, how))
    return model


def _options(model: Any, how: Quantized) -> dict[str, Any]:
    """Return what `quantize_` is given beside the config.

    torchao asks its filter about each module just before it quantizes that module and goes on to
    the next: there a model on the meta device gets its weights, one module at a time.
    """
    if how.scheme.whole_model:  # it selects modules by name, and refuses a filter
        if how.fill is not None:
            for module in model.modules():
                how.fill(module)
        return {"filter_fn": None}
    return {} if how.fill is None else {"filter_fn": partial(_filled, how.fill)}


def _filled(fill: Callable[[Any], bool], module: Any, name: str) -> bool:
    from torchao.quantization.quant_api import _is_linear

    return fill(module) and bool(_is_linear(module, name))


ROUTES = (
    Route(
        name="quantize_",
        title="`quantize_(model, config)`, then `save_pretrained`",
        quantize=quantize,
        script=Source(
            "quantize_(model, {config}{options})",
            frozenset({("torchao.quantization", "quantize_")}),
        ),
    ),
)
