"""int4 weights with float8 activations."""

from typing import Any

from conformance.axes.base import Scheme
from conformance.axes.needs import MSLK
from conformance.axes.parts import by_group, divided, groups, nibbles
from conformance.axes.payload import grouped
from conformance.axes.recipes import later, recipe, subclass

INT4 = "Float8DynamicActivationInt4WeightConfig"
INT4_PACKINGS = (
    "torchao.quantization.quantize_.workflows.int4.int4_packing_format:Int4PackingFormat"
)

# Fixed by the library: its kernel knows no smaller groups.
INT4_GROUP = 128


@divided(1, INT4_GROUP)
def _plain(weight: Any, _: Any) -> Any:
    import torch

    part = groups(weight, INT4_GROUP)
    tensor = subclass("Int4Tensor")
    # Early releases do not keep the activation's dtype.
    kept = getattr(tensor, "optional_tensor_attribute_names", ())
    return tensor(
        qdata=nibbles(part.codes).view(torch.int8).contiguous(),
        scale=by_group(part.scale, weight.dtype),
        zero_point=by_group(torch.zeros_like(part.scale), weight.dtype),
        block_size=[1, INT4_GROUP],
        shape=weight.shape,
        **({"activation_dtype": torch.float8_e4m3fn} if "activation_dtype" in kept else {}),
    )


@divided(1, INT4_GROUP)
def _preshuffled(weight: Any, _: Any) -> Any:
    import torch

    part = groups(weight, INT4_GROUP)
    scale = part.scale.t().unsqueeze(1).expand(-1, 8, -1).to(torch.float8_e4m3fn)
    return subclass("Int4PreshuffledTensor")(
        qdata=nibbles(part.codes).view(torch.int8).contiguous(),
        group_scale=scale.contiguous(),
        block_size=[1, INT4_GROUP],
        shape=weight.shape,
        row_scale=weight.detach().abs().amax(1).float(),
    )


SCHEMES = (
    Scheme(
        name="float8dq-int4",
        title="int4 weights in the order of Hopper kernels, and float8 activations",
        recipes=(recipe(INT4, "Int4PreshuffledTensor"),),
        payload=grouped(4, INT4_GROUP, 64, row_bytes=4),
        sqnr=8.0,
        reduction=0.3,
        multiple=INT4_GROUP,
        quantizing=MSLK,
        kernel=MSLK,
        storage=_preshuffled,
    ),
    Scheme(
        name="float8dq-int4-plain",
        title="int4 weights, two to a byte, and float8 activations",
        recipes=(recipe(INT4, "Int4Tensor", int4_packing_format=later(INT4_PACKINGS, "plain")),),
        payload=grouped(4, INT4_GROUP, 32),
        sqnr=8.0,
        reduction=0.28,
        multiple=INT4_GROUP,
        quantizing=MSLK,
        kernel=MSLK,
        storage=_plain,
    ),
)
