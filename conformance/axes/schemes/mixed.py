"""Two schemes in one model, chosen by the names of its modules."""

from conformance.axes.base import Likeness, Scheme
from conformance.axes.payload import rowwise
from conformance.axes.recipes import later, recipe

INT8 = ("Int8Tensor", "AffineQuantizedTensor")


CHOICES = later(
    "collections:OrderedDict",
    [
        (r"re:.*\.to_[qkv]", later("Float8WeightOnlyConfig")),
        ("_default", later("Int8WeightOnlyConfig")),
    ],
)

SCHEMES = (
    Scheme(
        name="mixed",
        title="float8 weights in the attention's q, k and v, int8 weights elsewhere",
        recipes=(
            recipe(
                "FqnToConfig", {0: "Float8Tensor", 1: "Float8Tensor"}, *INT8, fqn_to_config=CHOICES
            ),
            recipe(
                "ModuleFqnToConfig",
                {0: "Float8Tensor", 1: "Float8Tensor"},
                *INT8,
                module_fqn_to_config=CHOICES,
            ),
            recipe(
                "AOPerModuleConfig",
                "Float8Tensor",
                *INT8,
                module_fqn_to_config=CHOICES,
            ),
        ),
        payload=rowwise(8, 10),
        sqnr=29.0,
        likeness=Likeness(29.0, 0.98),
        reduction=0.52,
        whole_model=True,
    ),
)
