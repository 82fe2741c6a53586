"""float8 weights, alone or with float8 activations."""

from dataclasses import replace
from typing import Any

from conformance.axes.base import Likeness, Needs, Scheme
from conformance.axes.needs import CPU, FLOAT8, HOPPER, any_rank, nowhere, operator, trial
from conformance.axes.parts import divided
from conformance.axes.payload import grouped, rowwise, tensorwise
from conformance.axes.quantization import Recipe
from conformance.axes.recipes import AQT, LAQT, dtype, later, load, per_group, recipe, subclass

WEIGHT_ONLY = "Float8WeightOnlyConfig"
DYNAMIC = "Float8DynamicActivationFloat8WeightConfig"
DYNAMIC_CALLABLE = "float8_dynamic_activation_float8_weight"
STATIC = "Float8StaticActivationFloat8WeightConfig"
STATIC_V1 = "WeightTensorWithLinearActivationQuantizationMetadata"
SEMI_SPARSE = "Float8DynamicActivationFloat8SemiSparseWeightConfig"
WORKFLOWS = "torchao.quantization.quantize_.workflows"
PACKINGS = f"{WORKFLOWS}.float8.float8_packing_format:Float8PackingFormat"
OPAQUE = "torchao.prototype.float8_opaque_tensor"
FLOAT8_TENSOR = "Float8Tensor"


def _activation(config: Any) -> Any:
    make = load(f"{WORKFLOWS}.float8.float8_tensor:QuantizeTensorToFloat8Kwargs")
    return make(
        config.activation_dtype,
        config.granularity[0],
        hp_value_lb=config.activation_value_lb,
        hp_value_ub=config.activation_value_ub,
        kernel_preference=config.kernel_preference,
    )


def _float8(weight: Any, weight_dtype: Any, granularity: Any, **more: Any) -> Any:
    tensor = subclass(FLOAT8_TENSOR)
    # The first release with this class calls it otherwise.
    make = getattr(tensor, "from_hp", None) or tensor.to_float8
    return make(weight.detach(), float8_dtype=weight_dtype, granularity=granularity, **more)


@divided(16, 16)
def _dynamic(weight: Any, config: Any) -> Any:
    return _float8(
        weight,
        config.weight_dtype,
        config.granularity[1],
        mm_config=config.mm_config,
        kernel_preference=config.kernel_preference,
        act_quant_kwargs=_activation(config),
    )


@divided(1, 64)
def _sparse(weight: Any, config: Any) -> Any:
    import torch

    whole = _float8(weight, config.weight_dtype, config.granularity[1])
    rows, columns = weight.shape
    return subclass(
        f"{WORKFLOWS}.float8.float8_sparse_2x4_2d_data_2d_metadata_tensor"
        ":Float8Sparse2x4_2DData2DMetadataTensor"
    )(
        whole.qdata.view(torch.uint8)[:, ::2].contiguous().view(config.weight_dtype),
        # Two of four: the same choice, 0b0100, for every four weights; two choices to a byte.
        torch.full((rows, columns // 8), 0x44, dtype=torch.uint8, device=weight.device),
        whole.scale,
        block_size=[1, columns],
        act_quant_kwargs=_activation(config),
        dtype=weight.dtype,
    )


@divided(32, 32)
def _opaque(weight: Any, config: Any) -> Any:
    rows, columns = weight.shape
    whole = _float8(weight, config.weight_dtype, config.granularity[1])
    blocks = whole.qdata.reshape(rows // 32, 32, columns // 32, 32).permute(0, 2, 3, 1)
    make = load(f"{WORKFLOWS}.float8.float8_tensor:QuantizeTensorToFloat8Kwargs")
    return subclass(f"{OPAQUE}.float8_opaque_tensor:Float8OpaqueTensor")(
        blocks.contiguous(),
        whole.scale.reshape(rows // 32, 1, 32).contiguous(),
        [1, columns],
        make(config.activation_dtype, config.granularity[0]),
    )


def _dynamic_recipes(granularity: str) -> tuple[Recipe, ...]:
    made = later(granularity)
    return (
        recipe(DYNAMIC, {2: FLOAT8_TENSOR, 1: LAQT, 0: LAQT}, granularity=made),
        recipe(DYNAMIC_CALLABLE, LAQT, granularity=made),
    )


STATIC_RECIPE = recipe(
    f"torchao.prototype.quantization.quant_api:{STATIC}",
    "PrototypeFloat8Tensor",
    act_quant_scale=later("torch:ones", (1, 1)),
    granularity=later("PerTensor"),
)

# The classes still accept version 1 where their handlers no longer do.
WEIGHT_ONLY_V1 = (
    recipe(WEIGHT_ONLY, {1: AQT}, version=1),
    recipe(WEIGHT_ONLY, AQT),
    recipe("float8_weight_only", AQT),
)
DYNAMIC_V1 = (
    recipe(DYNAMIC, {1: LAQT}, version=1, granularity=later("PerRow")),
    recipe(DYNAMIC, LAQT, granularity=later("PerRow")),
    recipe(DYNAMIC_CALLABLE, LAQT, granularity=later("PerRow")),
)

SCHEMES = (
    Scheme(
        name="float8wo",
        title="float8 weights, one scale a row",
        recipes=(
            recipe(WEIGHT_ONLY, {2: FLOAT8_TENSOR, 1: AQT, 0: AQT}),
            recipe("float8_weight_only", AQT),
        ),
        payload=rowwise(8, 4),
        sqnr=22.0,
        likeness=Likeness(27.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="float8wo-v1",
        title="float8 weights as AffineQuantizedTensor",
        recipes=WEIGHT_ONLY_V1,
        payload=rowwise(8, 4),
        sqnr=22.0,
        reduction=0.52,
        quantizing=Needs(probe=trial(WEIGHT_ONLY_V1)),
    ),
    Scheme(
        name="float8wo-e5m2",
        title="float8 weights with five bits of exponent",
        recipes=(
            recipe(
                WEIGHT_ONLY,
                {2: FLOAT8_TENSOR, 1: AQT, 0: AQT},
                weight_dtype=dtype("float8_e5m2"),
            ),
            recipe("float8_weight_only", AQT, weight_dtype=dtype("float8_e5m2")),
        ),
        payload=rowwise(8, 4),
        sqnr=16.5,
        likeness=Likeness(22.0, 0.96),
        reduction=0.52,
    ),
    Scheme(
        name="float8wo-tensor",
        title="float8 weights, one scale for the whole weight",
        recipes=(recipe(WEIGHT_ONLY, {2: FLOAT8_TENSOR}, granularity=later("PerTensor")),),
        payload=tensorwise(8, 4),
        sqnr=21.0,
        likeness=Likeness(26.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="float8wo-g32",
        title="float8 weights, one scale for 32 of a row",
        recipes=(recipe(WEIGHT_ONLY, {2: FLOAT8_TENSOR}, granularity=per_group(32)),),
        payload=grouped(8, 32, 32),
        sqnr=22.5,
        likeness=Likeness(27.0, 0.98),
        reduction=0.575,
        multiple=32,
    ),
    Scheme(
        name="float8dq-tensor",
        title="float8 weights and activations, one scale for the whole of each",
        recipes=_dynamic_recipes("PerTensor"),
        payload=tensorwise(8, 4),
        sqnr=18.0,
        reduction=0.52,
        multiple=16,
        rows=16,
        quantizing=FLOAT8,
        kernel=FLOAT8,
        storage=_dynamic,
    ),
    Scheme(
        name="float8dq-row",
        title="float8 weights and activations, one scale a row",
        recipes=_dynamic_recipes("PerRow"),
        payload=rowwise(8, 4),
        sqnr=18.0,
        reduction=0.52,
        multiple=16,
        rows=16,
        quantizing=FLOAT8,
        kernel=FLOAT8,
        storage=_dynamic,
    ),
    Scheme(
        name="float8dq-block",
        title="float8 weights in blocks of 128 by 128, activations in blocks of 1 by 128",
        recipes=(
            recipe(
                DYNAMIC,
                {2: FLOAT8_TENSOR},
                granularity=[later("PerBlock", [1, 128]), later("PerBlock", [128, 128])],
            ),
        ),
        payload=tensorwise(8.01, 4),
        sqnr=18.0,
        reduction=0.52,
        multiple=128,
        quantizing=HOPPER,
        kernel=HOPPER,
    ),
    Scheme(
        name="float8dq-v1",
        title="float8 weights and activations as LinearActivationQuantizedTensor",
        recipes=DYNAMIC_V1,
        payload=rowwise(8, 4),
        sqnr=18.0,
        reduction=0.52,
        multiple=16,
        rows=16,
        quantizing=replace(FLOAT8, probe=trial(DYNAMIC_V1)),
        kernel=FLOAT8,
    ),
    Scheme(
        name="float8dq-sparse",
        title="float8 weights with 2:4 sparsity and float8 activations",
        recipes=(
            recipe(
                DYNAMIC,
                {2: "Float8Sparse2x4_2DData2DMetadataTensor"},
                granularity=later("PerRow"),
                packing_format=later(PACKINGS, "sparse_2d_data_2d_metadata"),
            ),
        ),
        payload=rowwise(5, 4),
        sqnr=None,  # half of the weights are dropped
        reduction=0.33,
        multiple=64,
        quantizing=HOPPER,
        kernel=HOPPER,
        storage=_sparse,
    ),
    Scheme(
        name="float8dq-sparse-1d",
        title="float8 weights with 2:4 sparsity in one buffer, and float8 activations",
        recipes=(
            recipe(
                DYNAMIC,
                {2: "Float8Sparse2x4_1DData1DMetadataTensor"},
                granularity=later("PerTensor"),
                packing_format=later(PACKINGS, "sparse_1d_data_1d_metadata"),
            ),
        ),
        payload=tensorwise(5, 4),
        sqnr=None,  # half of the weights are dropped
        reduction=0.34,
        multiple=64,
        quantizing=nowhere("needs an AMD MI350 with hipSPARSELt"),
        kernel=nowhere("needs an AMD MI350 with hipSPARSELt"),
    ),
    Scheme(
        name="float8dq-sparse-v1",
        title="float8 weights with 2:4 sparsity as LinearActivationQuantizedTensor",
        recipes=(recipe(SEMI_SPARSE, LAQT),),
        payload=rowwise(5, 4),
        sqnr=None,  # half of the weights are dropped
        reduction=0.34,
        multiple=64,
        quantizing=HOPPER,
        kernel=HOPPER,
    ),
    Scheme(
        name="float8dq-opaque",
        title="float8 weights and activations in the layout of the CPU kernel",
        recipes=(
            recipe(
                f"{OPAQUE}:Float8DynamicActivationFloat8WeightOpaqueTensorConfig",
                "Float8OpaqueTensor",
                granularity=later("PerRow"),
            ),
        ),
        payload=rowwise(8, 4),
        sqnr=18.0,
        reduction=0.52,
        multiple=32,
        rows=32,
        quantizing=Needs(
            devices=CPU.devices,
            probe=operator(
                "torchao::float8_linear_prepack_cpu",
                "CPU",
                "this torchao has no float8_linear_prepack_cpu kernel",
            ),
        ),
        kernel=CPU,
        storage=_opaque,
    ),
    Scheme(
        name="float8sq",
        title="float8 weights and float8 activations with one scale known beforehand",
        recipes=(STATIC_RECIPE,),
        # The activation's scale is kept with every weight.
        payload=tensorwise(8, 8),
        sqnr=None,  # a scale of 1 was not calibrated
        reduction=0.52,
        kernel=Needs(probe=any_rank(STATIC_RECIPE)),
    ),
    Scheme(
        name="float8sq-v1",
        title="float8 weights and activations with a known scale, around AffineQuantizedTensor",
        recipes=(
            recipe(STATIC, STATIC_V1, scale=later("torch:ones", ())),
            recipe(
                "float8_static_activation_float8_weight",
                STATIC_V1,
                scale=later("torch:ones", ()),
            ),
        ),
        payload=tensorwise(8, 8),
        sqnr=None,  # a scale of 1 was not calibrated
        reduction=0.52,
        multiple=16,
        rows=16,
        quantizing=FLOAT8,
        kernel=FLOAT8,
    ),
)
