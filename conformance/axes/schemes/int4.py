"""int4 weights, one scheme for every packing format, alone or with int8 or int4 activations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conformance.axes.base import Needs, Scheme
from conformance.axes.needs import AMPERE, CPU, FBGEMM, MSLK, nowhere, operator
from conformance.axes.parts import by_group, divided, groups, nibbles, words
from conformance.axes.payload import grouped, padded, rowwise
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import AQT, LAQT, dtype, later, recipe, subclass

CONFIG = "Int4WeightOnlyConfig"
DYNAMIC = "Int8DynamicActivationInt4WeightConfig"
WORKFLOWS = "torchao.quantization.quantize_.workflows.int4"
FORMATS = f"{WORKFLOWS}.int4_packing_format:Int4PackingFormat"
OLD_FORMATS = "torchao.quantization.quantize_.common.packing_format:PackingFormat"
ALGORITHMS = f"{WORKFLOWS}.int4_choose_qparams_algorithm:Int4ChooseQParamsAlgorithm"
OPAQUE = "torchao.prototype.quantization.int4"
GROUP = 32
BLOCK = [1, GROUP]


def _packed(tensor: str, packing: str, **more: Any) -> tuple[Recipe, ...]:
    versioned: Mapping[str, Any] = {"group_size": GROUP, "version": 2, **more}
    return (
        recipe(CONFIG, {2: tensor}, int4_packing_format=later(FORMATS, packing), **versioned),
        recipe(CONFIG, {2: tensor}, packing_format=later(OLD_FORMATS, packing), **versioned),
    )


@divided(1, GROUP)
def _plain(weight: Any, _: Any) -> Any:
    import torch

    part = groups(weight, GROUP)
    return subclass("Int4Tensor")(
        qdata=nibbles(part.codes).view(torch.int8).contiguous(),
        scale=by_group(part.scale, weight.dtype),
        zero_point=by_group(part.low + 8 * part.scale, weight.dtype),
        block_size=BLOCK,
        shape=weight.shape,
    )


@divided(1, GROUP)
def _preshuffled(weight: Any, _: Any) -> Any:
    import torch

    part = groups(weight, GROUP)
    return subclass("Int4PreshuffledTensor")(
        qdata=nibbles(part.codes).view(torch.int8).contiguous(),
        group_scale=by_group(part.scale, weight.dtype),
        block_size=BLOCK,
        shape=weight.shape,
        group_zero=by_group(part.low + 8 * part.scale, weight.dtype),
    )


@divided(1, GROUP)
def _plain_int32(weight: Any, _: Any) -> Any:
    import torch

    part = groups(weight, GROUP)
    rows, columns = weight.shape
    return subclass("Int4PlainInt32Tensor")(
        words(part.codes, (rows, columns // 8)),
        by_group(part.scale, weight.dtype),
        by_group(part.zero_point.clamp(0, 15), torch.int8),
        BLOCK,
        weight.shape,
    )


@divided(1, GROUP)
def _tile_packed(weight: Any, _: Any) -> Any:
    import torch

    rows, columns = weight.shape
    pad = (0, -columns % 1024, 0, -rows % 8)
    part = groups(torch.nn.functional.pad(weight.detach(), pad), GROUP)
    height, width = part.codes.shape
    zero = part.low + 8 * part.scale
    return subclass("Int4TilePackedTo4dTensor")(
        words(part.codes, (height // 8, width // 128, 32, 4)),
        torch.stack((part.scale, zero), -1).transpose(0, 1).to(weight.dtype).contiguous(),
        BLOCK,
        weight.shape,
    )


@divided(32, GROUP)
def _da8w4(weight: Any, config: Any) -> Any:
    import torch

    part = groups(weight, GROUP)
    rows, columns = weight.shape
    count = columns // GROUP
    tiles = part.codes.reshape(rows // 32, 32, count, GROUP).permute(0, 2, 3, 1)
    sums = part.codes.reshape(rows // 32, 32, count, GROUP).sum(-1, dtype=torch.int32)
    blocked = (rows // 32, 32, count)
    return subclass(f"{OPAQUE}.int4_opaque_tensor:Int4OpaqueTensor")(
        qdata=(tiles[..., 16:] << 4 | tiles[..., :16]).contiguous(),
        scale_and_zero=part.scale.reshape(blocked).transpose(1, 2).contiguous(),
        block_size=BLOCK,
        shape=weight.shape,
        qzeros=part.zero_point.reshape(blocked).transpose(1, 2).to(torch.int8).contiguous(),
        compensation=sums.transpose(1, 2).contiguous(),
        act_mapping_type=config.act_mapping_type.name.lower(),
    )


TILES = padded(grouped(4, GROUP, 32), rows=8, columns=1024)

INT4 = Scheme(
    name="int4wo",
    title="int4 weights, two to a byte",
    recipes=_packed("Int4Tensor", "plain"),
    payload=grouped(4, GROUP, 32),
    sqnr=12.0,
    reduction=0.325,
    multiple=GROUP,
    quantizing=MSLK,
    kernel=MSLK,
    storage=_plain,
)
TILE_PACKED = Scheme(
    name="int4wo-tile-packed",
    title="int4 weights in tinygemm tiles of four dimensions",
    recipes=_packed("Int4TilePackedTo4dTensor", "tile_packed_to_4d"),
    payload=TILES,
    sqnr=12.0,
    reduction=0.83,
    multiple=GROUP,
    quantizing=AMPERE,
    kernel=AMPERE,
    storage=_tile_packed,
)

SCHEMES = (
    INT4,
    replace(
        INT4,
        name="int4wo-preshuffled",
        title="int4 weights in the order that Hopper kernels read",
        recipes=_packed("Int4PreshuffledTensor", "preshuffled"),
        storage=_preshuffled,
    ),
    Scheme(
        name="int4wo-plain-int32",
        title="int4 weights, eight to an int32",
        recipes=_packed("Int4PlainInt32Tensor", "plain_int32"),
        payload=grouped(4, GROUP, 24),
        sqnr=12.0,
        reduction=0.31,
        multiple=GROUP,
        quantizing=nowhere("needs an Intel XPU or an Ascend NPU"),
        kernel=nowhere("needs an Intel XPU or an Ascend NPU"),
        storage=_plain_int32,
    ),
    TILE_PACKED,
    replace(
        TILE_PACKED,
        name="int4wo-hqq",
        title="int4 weights in tinygemm tiles, scales by half-quadratic quantization",
        recipes=_packed(
            "Int4TilePackedTo4dTensor",
            "tile_packed_to_4d",
            int4_choose_qparams_algorithm=later(ALGORITHMS, "hqq"),
        ),
    ),
    Scheme(
        name="int4wo-marlin-sparse",
        title="int4 weights with 2:4 sparsity for Marlin kernels",
        recipes=_packed("Int4MarlinSparseTensor", "marlin_sparse"),
        payload=grouped(3, GROUP, 16),
        sqnr=None,  # half of the weights are dropped
        reduction=0.36,
        multiple=64,
        quantizing=AMPERE,
        kernel=AMPERE,
    ),
    Scheme(
        name="int4wo-opaque",
        title="int4 weights in the layout of the CPU kernel",
        recipes=(
            recipe(
                f"{OPAQUE}.inference_workflow:PrototypeInt4WeightOnlyConfig",
                "Int4OpaqueTensor",
                group_size=GROUP,
            ),
            *(
                recipe(
                    f"{module}:Int4WeightOnlyOpaqueTensorConfig",
                    "Int4OpaqueTensor",
                    group_size=GROUP,
                )
                for module in (
                    f"{OPAQUE}.inference_workflow",
                    "torchao.prototype.int4_opaque_tensor",
                )
            ),
            *_packed("Int4OpaqueTensor", "opaque"),
        ),
        payload=grouped(4, GROUP, 32),
        sqnr=12.0,
        reduction=0.325,
        multiple=GROUP,
        quantizing=CPU,
        kernel=CPU,
    ),
    Scheme(
        name="int4wo-v1",
        title="int4 weights as AffineQuantizedTensor in tinygemm tiles",
        recipes=(
            # The argument went when version 1 did.
            recipe(CONFIG, {1: AQT}, version=1, use_hqq=False, group_size=GROUP),
            recipe(CONFIG, AQT, use_hqq=False, group_size=GROUP),
            recipe("int4_weight_only", AQT, group_size=GROUP),
        ),
        payload=TILES,
        sqnr=12.0,
        reduction=0.83,
        multiple=GROUP,
        quantizing=AMPERE,
        kernel=AMPERE,
    ),
    Scheme(
        name="int4wo-v1-cpu",
        title="int4 weights as AffineQuantizedTensor in the layout of the CPU kernel",
        recipes=tuple(
            recipe(
                symbol,
                tensors,
                group_size=GROUP,
                layout=later("torchao.dtypes:Int4CPULayout"),
                **more,
            )
            for symbol, tensors, more in (
                (CONFIG, {1: AQT}, {"version": 1}),
                (CONFIG, {0: AQT}, {}),
                ("int4_weight_only", {0: AQT}, {}),
            )
        ),
        payload=grouped(4, GROUP, 32),
        sqnr=12.0,
        reduction=0.325,
        multiple=GROUP,
        quantizing=CPU,
        kernel=CPU,
    ),
    Scheme(
        name="int8da-int4",
        title="int4 weights and int8 activations for the CPU kernel",
        recipes=(
            recipe(f"{OPAQUE}.inference_workflow:{DYNAMIC}", "Int4OpaqueTensor", group_size=GROUP),
        ),
        payload=grouped(4, GROUP, 72),
        sqnr=10.0,
        reduction=0.405,
        multiple=GROUP,
        rows=32,
        quantizing=Needs(
            devices=CPU.devices,
            probe=operator(
                "torchao::da8w4_linear_cpu", "CPU", "this torchao has no da8w4_linear_cpu kernel"
            ),
        ),
        kernel=CPU,
        storage=_da8w4,
    ),
    Scheme(
        name="int8da-int4-v1",
        title="int4 weights and int8 activations as LinearActivationQuantizedTensor",
        recipes=(
            recipe(f"torchao.prototype.quantization.quant_api:{DYNAMIC}", LAQT, group_size=GROUP),
            recipe(DYNAMIC, LAQT, group_size=GROUP),
            recipe("int8_dynamic_activation_int4_weight", LAQT, group_size=GROUP),
        ),
        # Four bits are kept in an int8 each; early releases have a zero point of four bytes.
        payload=grouped(8, GROUP, 64),
        sqnr=10.0,
        reduction=0.64,
        multiple=GROUP,
    ),
    Scheme(
        name="int4dq",
        title="int4 weights and int4 activations",
        recipes=(
            recipe("Int4DynamicActivationInt4WeightConfig", LAQT),
            recipe("int4_dynamic_activation_int4_weight", LAQT),
        ),
        payload=rowwise(4, 4),
        sqnr=5.0,
        reduction=0.27,
        quantizing=AMPERE,
        kernel=AMPERE,
    ),
    Scheme(
        name="fbgemm-int4",
        title="int4 weights by fbgemm-gpu-genai",
        recipes=(
            recipe(
                "FbgemmConfig",
                "Int4Tensor",
                "Int4GroupwisePreshuffleTensor",
                "FbgemmInt4Tensor",
                input_dtype=dtype("bfloat16"),
                weight_dtype=dtype("int4"),
                output_dtype=dtype("bfloat16"),
                block_size=BLOCK,
            ),
        ),
        payload=grouped(4, GROUP, 32),
        sqnr=12.0,
        reduction=0.325,
        multiple=GROUP,
        quantizing=FBGEMM,
        kernel=FBGEMM,
    ),
    Scheme(
        name="fbgemm-float8",
        title="float8 weights by fbgemm-gpu-genai",
        recipes=(
            recipe(
                "FbgemmConfig",
                "FbgemmFp8Tensor",
                input_dtype=dtype("float8_e4m3fn"),
                weight_dtype=dtype("float8_e4m3fn"),
                output_dtype=dtype("bfloat16"),
            ),
        ),
        payload=rowwise(8, 4, extra=4),
        sqnr=18.0,
        reduction=0.52,
        quantizing=FBGEMM,
        kernel=FBGEMM,
    ),
)
