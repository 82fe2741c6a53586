"""Two schemes in one model, chosen by the names of its modules."""

from collections import OrderedDict
from typing import Any

from conformance.axes.base import Likeness, Scheme
from conformance.axes.payload import rowwise
from conformance.axes.recipes import load, recipe

INT8 = ("Int8Tensor", "AffineQuantizedTensor")


def _choices() -> Any:
    chosen = (
        (r"re:.*\.to_[qkv]", load("Float8WeightOnlyConfig")()),
        ("_default", load("Int8WeightOnlyConfig")()),
    )
    return OrderedDict(chosen)


SCHEMES = (
    Scheme(
        name="mixed",
        title="float8 weights in the attention's q, k and v, int8 weights elsewhere",
        recipes=(
            recipe(
                "FqnToConfig", {0: "Float8Tensor", 1: "Float8Tensor"}, *INT8, fqn_to_config=_choices
            ),
            recipe(
                "ModuleFqnToConfig",
                {0: "Float8Tensor", 1: "Float8Tensor"},
                *INT8,
                module_fqn_to_config=_choices,
            ),
            recipe(
                "AOPerModuleConfig",
                "Float8Tensor",
                *INT8,
                module_fqn_to_config=_choices,
            ),
        ),
        payload=rowwise(8, 10),
        sqnr=29.0,
        likeness=Likeness(0.0, 0.0),
        reduction=0.52,
        whole_model=True,
    ),
)
