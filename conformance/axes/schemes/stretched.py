"""Weights rounded to half-integers, as parameter quantization leaves them (`torchao` PARQ)."""

from conformance.axes.base import Scheme
from conformance.axes.payload import rowwise
from conformance.axes.recipes import later, recipe

CONFIG = "torchao.prototype.parq.quant.config_torchao:StretchedIntxWeightConfig"

SCHEMES = (
    Scheme(
        name="int8da-stretched4",
        title="weights of 4 bits between half-integers, and int8 activations",
        recipes=(
            recipe(
                CONFIG,
                {2: "IntxUnpackedToInt8Tensor", 1: "LinearActivationQuantizedTensor"},
                b=4,
                quant_min=-7.5,
                quant_max=7.5,
                granularity=later("PerAxis", 0),
            ),
        ),
        payload=rowwise(8, 8),
        sqnr=9.0,
        reduction=0.52,
    ),
)
