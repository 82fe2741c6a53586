"""int8 weights, alone or with int8 activations."""

from conformance.axes.base import Likeness, Needs, Scheme
from conformance.axes.needs import CUDA, any_rank
from conformance.axes.payload import grouped, rowwise, tensorwise
from conformance.axes.recipes import AQT, LAQT, Later, later, member, per_group, recipe

WEIGHT_ONLY = "Int8WeightOnlyConfig"
DYNAMIC = "Int8DynamicActivationInt8WeightConfig"
STATIC = "Int8StaticActivationInt8WeightConfig"
INT8 = "Int8Tensor"
ASYMMETRIC = member("MappingType", "ASYMMETRIC")

# Version 1 keeps an int64 zero point for every row beside the scale: ten bytes.
ROW = 10
# Version 2 keeps the scale in float32 and, from some release on, an int8 zero point.
V2_ROW = 5


def _ones(*shape: int) -> Later:
    return later("torch:ones", shape)


STATIC_RECIPE = recipe(
    STATIC,
    {1: INT8, 2: INT8},
    act_quant_scale=_ones(1, 1),
    granularity=later("PerTensor"),
)

SCHEMES = (
    Scheme(
        name="int8wo",
        title="int8 weights, one scale a row, as the installed torchao gives them",
        recipes=(
            recipe(WEIGHT_ONLY, {2: INT8, 1: AQT, 0: AQT}),
            recipe("int8_weight_only", AQT),
        ),
        payload=rowwise(8, ROW),
        sqnr=29.5,
        likeness=Likeness(30.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="int8wo-v1",
        title="int8 weights as AffineQuantizedTensor",
        recipes=(
            recipe(WEIGHT_ONLY, {1: AQT}, version=1),
            recipe(WEIGHT_ONLY, AQT),
            recipe("int8_weight_only", AQT),
        ),
        payload=rowwise(8, ROW),
        sqnr=29.5,
        reduction=0.52,
    ),
    Scheme(
        name="int8wo-v2",
        title="int8 weights as Int8Tensor",
        recipes=(recipe(WEIGHT_ONLY, {2: INT8}, version=2),),
        payload=rowwise(8, V2_ROW),
        sqnr=18.0,
        likeness=Likeness(30.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="int8wo-tensor",
        title="int8 weights, one scale for the whole weight",
        recipes=(recipe(WEIGHT_ONLY, {2: INT8}, version=2, granularity=later("PerTensor")),),
        payload=tensorwise(8, V2_ROW),
        sqnr=18.0,
        likeness=Likeness(29.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="int8wo-g32",
        title="int8 weights, one scale for 32 of a row",
        recipes=(recipe(WEIGHT_ONLY, {2: INT8}, version=2, granularity=per_group(32)),),
        payload=grouped(8, 32, 8 * V2_ROW),
        sqnr=29.5,
        likeness=Likeness(29.0, 0.98),
        reduction=0.59,
        multiple=32,
    ),
    Scheme(
        name="int8wo-v1-g32",
        title="int8 weights as AffineQuantizedTensor, one scale for 32 of a row",
        recipes=(
            recipe(WEIGHT_ONLY, {1: AQT}, version=1, group_size=32),
            recipe(WEIGHT_ONLY, AQT, group_size=32),
            recipe("int8_weight_only", AQT, group_size=32),
        ),
        payload=grouped(8, 32, 8 * ROW),
        sqnr=29.0,
        reduction=0.67,
        multiple=32,
    ),
    Scheme(
        name="int8dq",
        title="int8 weights and int8 activations, as the installed torchao gives them",
        recipes=(
            recipe(DYNAMIC, {2: INT8, 1: LAQT, 0: LAQT}),
            recipe("int8_dynamic_activation_int8_weight", LAQT),
        ),
        payload=rowwise(8, ROW),
        sqnr=27.5,
        likeness=Likeness(27.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="int8dq-v1",
        title="int8 weights and int8 activations as LinearActivationQuantizedTensor",
        recipes=(
            recipe(DYNAMIC, {1: LAQT}, version=1),
            recipe(DYNAMIC, LAQT),
            recipe("int8_dynamic_activation_int8_weight", LAQT),
        ),
        payload=rowwise(8, ROW),
        sqnr=27.5,
        reduction=0.52,
    ),
    Scheme(
        name="int8dq-v2",
        title="int8 weights and int8 activations as Int8Tensor",
        recipes=(recipe(DYNAMIC, {2: INT8}, version=2),),
        payload=rowwise(8, V2_ROW),
        sqnr=18.0,
        likeness=Likeness(27.0, 0.98),
        reduction=0.52,
    ),
    Scheme(
        name="int8dq-tensor",
        title="int8 weights and activations, one scale for the whole of each",
        recipes=(recipe(DYNAMIC, {2: INT8}, version=2, granularity=later("PerTensor")),),
        payload=tensorwise(8, V2_ROW),
        sqnr=17.5,
        likeness=Likeness(25.0, 0.97),
        reduction=0.52,
    ),
    Scheme(
        name="int8dq-asym",
        title="int8 weights and int8 activations with a zero point",
        recipes=(
            # Version 1 first, because the class took version 2 before its handler did.
            recipe(DYNAMIC, {1: LAQT}, version=1, act_mapping_type=ASYMMETRIC),
            recipe(DYNAMIC, {0: LAQT, 2: INT8}, act_mapping_type=ASYMMETRIC),
            recipe("int8_dynamic_activation_int8_weight", LAQT, act_mapping_type=ASYMMETRIC),
        ),
        payload=rowwise(8, ROW),
        sqnr=29.0,
        reduction=0.52,
    ),
    Scheme(
        name="int8dq-sparse",
        title="int8 weights with 2:4 sparsity and int8 activations",
        recipes=(
            recipe(DYNAMIC, {1: LAQT, 0: LAQT}, layout=later("torchao.dtypes:SemiSparseLayout")),
            recipe("int8_dynamic_activation_int8_semi_sparse_weight", LAQT),
        ),
        payload=rowwise(5, ROW),
        sqnr=None,  # half of the weights are dropped
        reduction=0.4,
        multiple=64,
        quantizing=CUDA,
        kernel=CUDA,
    ),
    Scheme(
        name="int8sq",
        title="int8 weights and int8 activations with one scale known beforehand",
        recipes=(STATIC_RECIPE,),
        # The activation's scale is kept with every weight, in float32.
        payload=tensorwise(8, V2_ROW + 4),
        sqnr=None,  # a scale of 1 was not calibrated
        reduction=0.52,
        kernel=Needs(probe=any_rank(STATIC_RECIPE)),
    ),
)
