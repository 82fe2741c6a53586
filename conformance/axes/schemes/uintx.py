"""Packed weights of one to eight unsigned bits, and packed floats of six and five bits."""

from dataclasses import replace
from typing import Any

from conformance.axes.base import Scheme
from conformance.axes.needs import CUDA, GEMLITE
from conformance.axes.parts import divided, groups, nibbles
from conformance.axes.payload import grouped, rowwise
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import AQT, dtype, recipe, subclass

PROTOTYPE = "torchao.prototype.quantization.quant_api"
CONFIG = "UIntXWeightOnlyConfig"
GROUP = 32
PACKED = "UIntxBitPackedTensor"

# One and two bits are coarser than the signal itself.
FLOORS = {1: None, 2: None, 3: 5.0, 4: 12.5, 5: 17.5, 6: 23.5, 7: 27.5}


def _uintx(bits: int) -> Scheme:
    chosen: dict[str, Any] = {"dtype": dtype(f"uint{bits}"), "group_size": GROUP}
    return Scheme(
        name=f"uintx{bits}",
        title=f"weights of {bits} unsigned bits, packed, one scale for 32 of a row",
        recipes=(
            recipe(f"{PROTOTYPE}:{CONFIG}", AQT, **chosen),
            recipe(CONFIG, AQT, **chosen),
            recipe("uintx_weight_only", AQT, **chosen),
        ),
        # A scale of two bytes and a zero point of four for every group.
        payload=grouped(bits, GROUP, 48),
        sqnr=FLOORS[bits],
        reduction=bits / 16 + 0.11,
        multiple=GROUP,
    )


def _gemlite(bits: int, group: int | None) -> tuple[Recipe, ...]:
    chosen: dict[str, Any] = {"bit_width": bits, "group_size": group}
    return (recipe(f"{PROTOTYPE}:UIntxWeightOnlyConfig", PACKED, **chosen),)


def _gemlite_v1(bits: int, group: int | None) -> tuple[Recipe, ...]:
    old: dict[str, Any] = {"bit_width": bits, "group_size": group, "packing_bitwidth": 32}
    return (
        recipe(f"{PROTOTYPE}:GemliteUIntXWeightOnlyConfig", AQT, **old),
        recipe("GemliteUIntXWeightOnlyConfig", AQT, **old),
        recipe("gemlite_uintx_weight_only", AQT, **old),
    )


def _kernel_arguments(bits: int, group: int) -> dict[str, Any]:
    per_sample = 1 if bits == 8 else 8
    return {
        "data_contiguous": True,
        "elements_per_sample": per_sample,
        "W_group_mode": 2 if bits == 8 else 3,
        "meta_args": [0, bits, group, 2**bits - 1, per_sample],
    }


@divided(1, GROUP)
def _bit_packed(weight: Any, config: Any) -> Any:
    import torch

    rows, columns = weight.shape
    bits, group = config.bit_width, config.group_size or columns
    part = groups(weight, group, bits)
    wide = bits == 8
    codes = part.codes.view(torch.int8) if wide else nibbles(part.codes).view(torch.int32)
    return subclass(f"torchao.prototype.quantization.uintx.uintx_bit_packed_tensor:{PACKED}")(
        qdata=codes.t().contiguous(),
        scale=part.scale.t().to(weight.dtype).contiguous(),
        zero_point=part.zero_point.t()[: 0 if wide else None].to(weight.dtype).contiguous(),
        gemlite_kwargs={
            "in_features": columns,
            "out_features": rows,
            "packing_bitwidth": config.packing_bitwidth,
            **_kernel_arguments(bits, group),
        },
        bit_width=bits,
        group_size=config.group_size,
        dtype=weight.dtype,
    )


UINTX4 = Scheme(
    name="uintx4-gemlite",
    title="4-bit weights, packed for Triton kernels by gemlite",
    recipes=_gemlite(4, GROUP),
    payload=grouped(4, GROUP, 32),
    sqnr=12.0,
    reduction=0.325,
    multiple=GROUP,
    quantizing=GEMLITE,
    kernel=GEMLITE,
    storage=_bit_packed,
)
UINTX8 = Scheme(
    name="uintx8-gemlite",
    title="8-bit weights, laid out for Triton kernels by gemlite",
    recipes=_gemlite(8, None),
    payload=rowwise(8, 4),
    sqnr=18.0,
    reduction=0.52,
    quantizing=GEMLITE,
    kernel=GEMLITE,
    storage=_bit_packed,
)

SCHEMES = (
    *(_uintx(bits) for bits in FLOORS),
    UINTX4,
    UINTX8,
    replace(
        UINTX4,
        name="uintx4-gemlite-v1",
        title="4-bit weights as AffineQuantizedTensor, packed by gemlite",
        recipes=_gemlite_v1(4, GROUP),
        storage=None,
    ),
    replace(
        UINTX8,
        name="uintx8-gemlite-v1",
        title="8-bit weights as AffineQuantizedTensor, laid out by gemlite",
        recipes=_gemlite_v1(8, None),
        storage=None,
    ),
    replace(
        UINTX4,
        name="int8da-uintx4",
        title="4-bit weights, packed by gemlite, and int8 activations",
        recipes=(
            recipe(
                f"{PROTOTYPE}:Int8DynamicActivationUIntxWeightConfig",
                PACKED,
                group_size=GROUP,
            ),
        ),
        sqnr=10.0,
    ),
    *(
        Scheme(
            name=f"fpx-e{exponent}m{mantissa}",
            title=f"floats of {exponent + mantissa + 1} bits in the tiles of a CUDA kernel",
            recipes=(
                recipe("FPXWeightOnlyConfig", AQT, ebits=exponent, mbits=mantissa),
                recipe("fpx_weight_only", AQT, ebits=exponent, mbits=mantissa),
            ),
            payload=rowwise(exponent + mantissa + 1, 2),
            sqnr=None,  # no CPU kernel to measure it with
            # Most layers of the subjects are not as tall as a tile and stay as they are.
            reduction=0.76,
            multiple=64,
            rows=256,
            kernel=CUDA,
        )
        for exponent, mantissa in ((3, 2), (2, 3), (2, 2))
    ),
)
