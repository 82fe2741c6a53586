"""`quantize_` on a model that is in memory: the published recipe."""

from typing import Any

from conformance.axes.base import Quantized, Route
from conformance.axes.source import Source
from conformance.axes.storage import storage_in_place_of_quantizing


def quantize(model: Any, how: Quantized) -> Any:
    """Apply `torchao.quantization.quantize_` in place and return the model."""
    from torchao.quantization import quantize_

    # Schemes that select modules by name refuse the default filter.
    options = {"filter_fn": None} if how.scheme.whole_model else {}
    with storage_in_place_of_quantizing(how):
        quantize_(model, how.quantization.config, **options)
    return model


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
