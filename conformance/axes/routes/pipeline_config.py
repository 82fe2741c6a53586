"""`PipelineQuantizationConfig`: diffusers quantizes while it loads the whole pipeline."""

from typing import Any

from conformance.axes.base import Quantized, Route
from conformance.axes.source import Source
from conformance.axes.storage import storage_in_place_of_quantizing
from conformance.errors import UnavailableError


def quantize(pipeline: Any, how: Quantized) -> Any:
    """Load the bf16 pipeline with the scheme for its transformer.

    Raises:
        UnavailableError: this diffusers has no PipelineQuantizationConfig, or no TorchAoConfig
            that takes torchao's config objects.
    """
    import torch
    from diffusers import TorchAoConfig

    try:
        from diffusers import PipelineQuantizationConfig
    except ImportError as error:
        raise UnavailableError("this diffusers has no PipelineQuantizationConfig") from error
    if how.quantization.version_less:
        raise UnavailableError("TorchAoConfig takes config objects, this torchao has callables")
    mapping = {"transformer": TorchAoConfig(how.quantization.config)}
    with storage_in_place_of_quantizing(how):
        return type(pipeline).from_pretrained(
            how.pipeline_directory,
            quantization_config=PipelineQuantizationConfig(quant_mapping=mapping),
            torch_dtype=torch.bfloat16,
            device_map=None if how.device == "cpu" else str(how.device),
        )


SCRIPT = """\
with tempfile.TemporaryDirectory() as bf16:
    {pipeline}(transformer=model, **OTHERS).save_pretrained(bf16)
    mapping = dict(transformer=TorchAoConfig({config}))
    model = {pipeline}.from_pretrained(
        bf16,
        torch_dtype=torch.bfloat16,
        quantization_config=PipelineQuantizationConfig(quant_mapping=mapping),
        **OTHERS{placed},
    ).transformer"""

ROUTES = (
    Route(
        name="pipeline-config",
        title="a pipeline's `from_pretrained(quantization_config=PipelineQuantizationConfig(...))`",
        quantize=quantize,
        whole=True,
        script=Source(
            SCRIPT,
            frozenset(
                {("diffusers", "PipelineQuantizationConfig"), ("diffusers", "TorchAoConfig")}
            ),
        ),
    ),
)
