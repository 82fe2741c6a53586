"""`TorchAoConfig` through `from_pretrained`: diffusers quantizes while it loads."""

from typing import Any

from conformance.axes.base import Quantized, Route
from conformance.axes.models import kept_in_float32
from conformance.axes.source import Source
from conformance.axes.storage import storage_in_place_of_quantizing
from conformance.errors import UnavailableError


def quantize(model: Any, how: Quantized) -> Any:
    """Load the bf16 checkpoint with `quantization_config=TorchAoConfig(config)`.

    What its class keeps in float32 diffusers does not quantize.

    Raises:
        UnavailableError: this diffusers has no TorchAoConfig that takes torchao's config objects.
    """
    import torch
    from diffusers import TorchAoConfig

    if how.quantization.version_less:
        raise UnavailableError("TorchAoConfig takes config objects, this torchao has callables")
    with storage_in_place_of_quantizing(how):
        return type(model).from_pretrained(
            how.base_directory,
            quantization_config=TorchAoConfig(how.quantization.config),
            torch_dtype=torch.bfloat16,
            device_map=None if how.device == "cpu" else str(how.device),
        )


SCRIPT = """\
with tempfile.TemporaryDirectory() as bf16:
    model.save_pretrained(bf16)
    model = {model}.from_pretrained(
        bf16, torch_dtype=torch.bfloat16, quantization_config=TorchAoConfig({config}){placed}
    )"""

ROUTES = (
    Route(
        name="torchao-config",
        title="`from_pretrained(quantization_config=TorchAoConfig(config))`",
        quantize=quantize,
        script=Source(SCRIPT, frozenset({("diffusers", "TorchAoConfig")})),
        loads=True,
        spares=kept_in_float32,
    ),
)
