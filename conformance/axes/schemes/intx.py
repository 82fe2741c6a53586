"""Weights of one to eight bits, each kept in an int8."""

from conformance.axes.base import Likeness, Needs, Scheme
from conformance.axes.needs import CPU, operator
from conformance.axes.payload import grouped, rowwise
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import AQT, LAQT, dtype, later, per_group, recipe

CONFIG = "IntxWeightOnlyConfig"
DYNAMIC = "Int8DynamicActivationIntxWeightConfig"
UNPACKED = "IntxUnpackedToInt8Tensor"
PACKINGS = "torchao.quantization.quantize_.workflows.intx.intx_packing_format:IntxPackingFormat"
WEIGHT_ONLY = {2: UNPACKED, 1: AQT, 0: AQT}

# One and two bits are coarser than the signal itself; early releases divide in bf16, which leaves
# less than seven bits of any width.
FLOORS = {1: None, 2: None, 3: 2.5, 4: 8.5, 5: 14.0, 6: 18.0, 7: 18.0, 8: 18.0}

# Of the pictures of tiny pipelines, which are drawn for two widths.
LIKENESS = {4: Likeness(19.0, 0.93), 8: Likeness(30.0, 0.98)}


def _per_axis(bits: int) -> Scheme:
    axis = later("PerAxis", 0)
    return Scheme(
        name=f"intx{bits}",
        title=f"weights of {bits} bits, each kept in an int8, one scale a row",
        recipes=(recipe(CONFIG, WEIGHT_ONLY, weight_dtype=dtype(f"int{bits}"), granularity=axis),),
        payload=rowwise(8, 6),
        sqnr=FLOORS[bits],
        likeness=LIKENESS.get(bits),
        reduction=0.52,
    )


def _opaque() -> tuple[Recipe, ...]:
    return (
        recipe(
            DYNAMIC,
            {2: "IntxOpaqueTensor"},
            weight_dtype=dtype("int4"),
            weight_granularity=per_group(32),
            intx_packing_format=later(PACKINGS, "opaque_torchao_auto"),
        ),
    )


SCHEMES = (
    *(_per_axis(bits) for bits in FLOORS),
    Scheme(
        name="intx4-g32",
        title="weights of 4 bits, each kept in an int8, one scale for 32 of a row",
        recipes=(
            recipe(CONFIG, WEIGHT_ONLY, weight_dtype=dtype("int4"), granularity=per_group(32)),
        ),
        payload=grouped(8, 32, 48),
        sqnr=10.0,
        likeness=Likeness(19.0, 0.93),
        reduction=0.56,
        multiple=32,
    ),
    Scheme(
        name="int8da-intx4-g32",
        title="weights of 4 bits, each kept in an int8, and int8 activations",
        recipes=(
            recipe(
                DYNAMIC,
                {2: UNPACKED, 1: LAQT, 0: LAQT},
                weight_dtype=dtype("int4"),
                weight_granularity=per_group(32),
            ),
        ),
        payload=grouped(8, 32, 48),
        sqnr=10.0,
        likeness=Likeness(18.0, 0.93),
        reduction=0.56,
        multiple=32,
    ),
    Scheme(
        name="int8da-intx4-opaque",
        title="weights of 4 bits in the layout of the ARM kernel, and int8 activations",
        recipes=_opaque(),
        payload=grouped(4, 32, 72),
        sqnr=10.0,
        reduction=0.45,
        multiple=32,
        quantizing=Needs(
            devices=CPU.devices,
            probe=operator(
                "torchao::_pack_8bit_act_4bit_weight",
                "CPU",
                "torchao's low-bit kernel library is not loaded",
            ),
        ),
        kernel=CPU,
    ),
)
