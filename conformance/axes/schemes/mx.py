"""Microscaling formats: blocks of 32 with one power of two as scale."""

from typing import Any

from conformance.axes.base import Needs, Recipe, Scheme
from conformance.axes.needs import BLACKWELL, trial
from conformance.axes.payload import swizzled
from conformance.axes.recipes import dtype, member, recipe

FORMATS = "torchao.prototype.mx_formats"
CONFIG = f"{FORMATS}.inference_workflow:MXDynamicActivationMXWeightConfig"
OLD_CONFIGS = (
    f"{FORMATS}.inference_workflow:MXFPInferenceConfig",
    f"{FORMATS}.mx_subclass:MXFPInferenceConfig",
)
PREFERENCE = "torchao.quantization.quantize_.common:KernelPreference"
KERNELS = f"{FORMATS}.config:MXGemmKernelChoice"


def _recipes(element: str, old_kernel: str, **more: Any) -> tuple[Recipe, ...]:
    dtypes: dict[str, Any] = {
        "activation_dtype": dtype(element),
        "weight_dtype": dtype(element),
    }
    kernel = member(KERNELS, old_kernel)
    old = (
        recipe(symbol, "MXTensor", gemm_kernel_choice=kernel, **dtypes) for symbol in OLD_CONFIGS
    )
    return (recipe(CONFIG, "MXTensor", **dtypes, **more), *old)


def _emulated(element: str) -> tuple[Recipe, ...]:
    preference = member(PREFERENCE, "EMULATED")
    return _recipes(element, "EMULATED", kernel_preference=preference)


MXFP8 = _recipes("float8_e4m3fn", "CUBLAS")
MXFP8_EMULATED = _emulated("float8_e4m3fn")
MXFP4 = _recipes("float4_e2m1fn_x2", "CUTLASS")
MXFP4_EMULATED = _emulated("float4_e2m1fn_x2")


def _quantizing(recipes: tuple[Recipe, ...]) -> Needs:
    # The first releases quantize on Blackwell only, even for an emulated product.
    return Needs(probe=trial(recipes))


SCHEMES = (
    Scheme(
        name="mxfp8",
        title="MX blocks of float8, weights and activations",
        recipes=MXFP8,
        quantizing=_quantizing(MXFP8),
        payload=swizzled(8, 32),
        sqnr=16.5,
        reduction=0.53,
        multiple=32,
        kernel=BLACKWELL,
    ),
    Scheme(
        name="mxfp8-emulated",
        title="MX blocks of float8, multiplied in bf16",
        recipes=MXFP8_EMULATED,
        quantizing=_quantizing(MXFP8_EMULATED),
        payload=swizzled(8, 32),
        sqnr=16.5,
        reduction=0.53,
        multiple=32,
    ),
    Scheme(
        name="mxfp4",
        title="MX blocks of float4, weights and activations",
        recipes=MXFP4,
        quantizing=_quantizing(MXFP4),
        payload=swizzled(4, 32),
        sqnr=5.5,
        reduction=0.28,
        multiple=32,
        kernel=BLACKWELL,
    ),
    Scheme(
        name="mxfp4-emulated",
        title="MX blocks of float4, multiplied in bf16",
        recipes=MXFP4_EMULATED,
        quantizing=_quantizing(MXFP4_EMULATED),
        payload=swizzled(4, 32),
        sqnr=5.5,
        reduction=0.28,
        multiple=32,
    ),
)
