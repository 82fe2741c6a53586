"""NVIDIA's float4: blocks of 16 with a float8 scale, and one float32 scale for the weight."""

from inspect import signature
from typing import Any

from conformance.axes.base import Scheme
from conformance.axes.needs import BLACKWELL
from conformance.axes.parts import divided
from conformance.axes.payload import swizzled
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import load, member, recipe, subclass

FORMATS = "torchao.prototype.mx_formats"
TENSOR_MODULE = f"{FORMATS}.nvfp4_tensor"
OLD_CONFIGS = (
    f"{FORMATS}.inference_workflow:NVFP4InferenceConfig",
    f"{FORMATS}.mx_subclass:NVFP4InferenceConfig",
)
TENSOR = "NVFP4Tensor"


def _old(mode: str) -> tuple[Recipe, ...]:
    chosen = member(f"{TENSOR_MODULE}:NVFP4MMConfig", mode)
    return tuple(recipe(symbol, TENSOR, mm_config=chosen) for symbol in OLD_CONFIGS)


def _activation(config: Any) -> Any:
    names = ("use_dynamic_per_tensor_scale", "use_triton_kernel")
    make = load(f"{TENSOR_MODULE}:QuantizeTensorToNVFP4Kwargs")
    if not hasattr(config, names[0]):
        return make()
    return make(is_swizzled_scales=True, **{name: getattr(config, name) for name in names})


@divided(16, 16)
def _dynamic(weight: Any, config: Any) -> Any:
    quantize = subclass(f"{TENSOR_MODULE}:{TENSOR}").to_nvfp4
    values = weight.detach()
    options: dict[str, Any] = {"is_swizzled_scales": True, "use_triton_kernel": False}
    if "mm_config" in signature(quantize).parameters:
        options["mm_config"] = config.mm_config
    else:
        options["act_quant_kwargs"] = _activation(config)
    if getattr(config, "use_dynamic_per_tensor_scale", False):
        scale = load(f"{TENSOR_MODULE}:per_tensor_amax_to_scale")
        options["per_tensor_scale"] = scale(values.abs().max())
    tensor = quantize(values, **options)
    tensor.use_triton_kernel = config.use_triton_kernel
    return tensor


SCHEMES = (
    Scheme(
        name="nvfp4",
        title="NVFP4 weights and activations",
        recipes=(
            recipe(f"{FORMATS}.inference_workflow:NVFP4DynamicActivationNVFP4WeightConfig", TENSOR),
            *_old("DYNAMIC"),
        ),
        payload=swizzled(4, 16, extra=4),
        sqnr=6.0,
        reduction=0.295,
        multiple=16,
        rows=16,
        quantizing=BLACKWELL,
        kernel=BLACKWELL,
        storage=_dynamic,
    ),
    Scheme(
        name="nvfp4wo",
        title="NVFP4 weights",
        recipes=(
            recipe(f"{FORMATS}.inference_workflow:NVFP4WeightOnlyConfig", TENSOR),
            *_old("WEIGHT_ONLY"),
        ),
        payload=swizzled(4, 16, extra=4),
        sqnr=10.5,
        reduction=0.295,
        multiple=16,
        rows=16,
    ),
)
