"""What a pickle of weights may name, and what of that a plain load would execute.

Only the exact names count: `torch.hub.load` is no more allowed than `os.system`.
"""

import re

_TORCH = re.compile(
    r"torch\.("
    r"u?int\d+|qu?int\d+(x\d)?|b?float\d+(_\w+)?|complex\d+|bits\d+(x\d)?|bool"
    r"|per_(channel|tensor)_(affine(_float_qparams)?|symmetric)"
    r"|(cuda\.|sparse\.|cuda\.sparse\.)?[A-Z][A-Za-z0-9]{2,16}(Storage|Tensor)"
    r"|Size|Tensor|device|nn\.parameter\.Parameter"
    r"|storage\.(UntypedStorage|TypedStorage)"
    r"|serialization\._get_layout|_tensor\._rebuild_from_type_v2"
    r"|_utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state|qtensor"
    r"|sparse_tensor|nested_tensor|wrapper_subclass|meta_tensor_no_storage"
    r"|device_tensor_from_numpy|device_tensor_from_cpu_tensor)"
    r")"
)
_PYTHON = frozenset(
    {
        "_codecs.encode",
        "builtins.bytearray",
        "builtins.complex",
        "builtins.set",
        "__builtin__.set",
        "collections.Counter",
        "collections.OrderedDict",
    }
)
"""What `torch.load(weights_only=True)` allows of Python itself."""
_NUMPY = re.compile(
    r"numpy\.(ndarray|dtype|dtypes\.\w+DType"
    r"|_?core\.multiarray\.(scalar|_reconstruct)|core\.numeric\._frombuffer)"
)
_CLASS = re.compile(r"torchao(\.\w+)+")


def is_known(name: str, measured: frozenset[str]) -> bool:
    """Is it what torch allows of weights, a part of NumPy's arrays, or a measured torchao name?"""
    allowed = name in _PYTHON or _TORCH.fullmatch(name) or _NUMPY.fullmatch(name)
    return bool(allowed) or name in measured


def is_torchao(name: str) -> bool:
    """Is it something of torchao, whether anybody measured it or not?"""
    return _CLASS.fullmatch(name) is not None
