"""torchao's own flattening of tensor subclasses into a safetensors file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Device, Format
from conformance.axes.pretrained import assign_state_dict
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

NAME = "model.safetensors"


def support() -> Any:
    """Return torchao's module of flattening.

    Raises:
        UnavailableError: this torchao has none.
    """
    try:
        from torchao.prototype.safetensors import safetensors_support
    except ImportError as error:
        raise UnavailableError("this torchao has no prototype.safetensors") from error
    return safetensors_support


def save(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write `flatten_tensor_state_dict(state_dict)` with its metadata."""
    from safetensors.torch import save_file

    tensors, metadata = support().flatten_tensor_state_dict(model.state_dict())
    save_file(tensors, directory / NAME, metadata)


def load(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Read tensors and metadata, unflatten, and assign to a model on the meta device."""
    from safetensors import safe_open

    with safe_open(directory / NAME, framework="pt", device=str(device)) as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return assign_state_dict(model_class, config, unflattened(tensors, metadata))


def unflattened(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Put the tensor subclasses together again.

    Raises:
        UnavailableError: this torchao cannot.
    """
    state = support().unflatten_tensor_state_dict(tensors, metadata)
    # From 0.15 on, what could not be put together comes back as a second value.
    return dict(state[0] if isinstance(state, tuple) else state)


SUPPORT = frozenset({("torchao.prototype.safetensors", "safetensors_support")})
SAVE = f"""\
tensors, metadata = safetensors_support.flatten_tensor_state_dict(model.state_dict())
save_file(tensors, directory / "{NAME}", metadata)"""
LOAD = f"""\
with safe_open(directory / "{NAME}", framework="pt", device="{{device}}") as file:
    tensors = {{{{name: file.get_tensor(name) for name in file.keys()}}}}
    state = safetensors_support.unflatten_tensor_state_dict(tensors, file.metadata())
loaded = {{model}}(**CONFIG).to(torch.bfloat16).eval()
loaded.load_state_dict(state[0] if isinstance(state, tuple) else state, assign=True)"""

FORMATS = (
    Format(
        name="torchao-safetensors",
        title="torchao's `flatten_tensor_state_dict` in a safetensors file",
        save=save,
        load=load,
        read=files.read_safetensors,
        has_config=False,
        has_requires_grad=False,
        script=FormatScript(
            save=SAVE,
            load=LOAD,
            imports=SUPPORT | {("safetensors.torch", "save_file")},
            load_imports=SUPPORT | {("safetensors", "safe_open")},
        ),
    ),
)
