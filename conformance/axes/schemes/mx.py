"""Microscaling formats: blocks of 32 with one power of two as scale."""

from dataclasses import replace
from typing import Any

from conformance.axes.base import Needs, Scheme
from conformance.axes.needs import BLACKWELL, trial
from conformance.axes.payload import swizzled
from conformance.axes.quantization import Recipe
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


def _native_and_emulated(
    bits: int, element: str, old_kernel: str, *, sqnr: float, reduction: float
) -> tuple[Scheme, Scheme]:
    recipes = _recipes(element, old_kernel)
    emulated = _recipes(element, "EMULATED", kernel_preference=member(PREFERENCE, "EMULATED"))
    scheme = Scheme(
        name=f"mxfp{bits}",
        title=f"MX blocks of float{bits}, weights and activations",
        recipes=recipes,
        # The first releases quantize on Blackwell only, even for an emulated product.
        quantizing=Needs(probe=trial(recipes)),
        payload=swizzled(bits, 32),
        sqnr=sqnr,
        reduction=reduction,
        multiple=32,
        kernel=BLACKWELL,
    )
    return scheme, replace(
        scheme,
        name=f"mxfp{bits}-emulated",
        title=f"MX blocks of float{bits}, multiplied in bf16",
        recipes=emulated,
        quantizing=Needs(probe=trial(emulated)),
        kernel=Needs(),
    )


SCHEMES = (
    *_native_and_emulated(8, "float8_e4m3fn", "CUBLAS", sqnr=16.5, reduction=0.53),
    *_native_and_emulated(4, "float4_e2m1fn_x2", "CUTLASS", sqnr=5.5, reduction=0.28),
)
