"""Read the weight files alone: no `config.json`, no loader of diffusers."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import weight_files
from conformance.axes.pretrained import assign_state_dict
from conformance.errors import UnavailableError


def by_weights(form: Format) -> Format:
    """Return the format read by its weight files: the same files, another loader."""
    of_model = partial(load, within=form.within)
    return replace(form, load=of_model, within="", has_config=False, has_requires_grad=False)


def load(
    model_class: Any,
    config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    within: str = "",
) -> Any:
    """Put the state dict together and assign it to a model built from the suite's own config.

    Raises:
        UnavailableError: this torchao cannot read safetensors files.
        FileNotFoundError: there are no weight files.
    """
    return assign_state_dict(model_class, config, state_dict(directory / within, device))


def state_dict(directory: Path, device: Device) -> dict[str, Any]:
    """Return what the weight files of a directory hold, shards joined.

    Raises:
        UnavailableError, FileNotFoundError: see `load`.
    """
    if pickles := weight_files(directory, ".bin", ".pt"):
        return _of_pickles(pickles, device)
    if files := weight_files(directory, ".safetensors"):
        return unflattened(files, device)
    raise FileNotFoundError("there are no weight files")


def _of_pickles(paths: list[Path], device: Device) -> dict[str, Any]:
    import torch
    import torchao  # noqa: F401 - it allows its classes to be unpickled

    state: dict[str, Any] = {}
    for path in paths:
        state |= torch.load(path, weights_only=True, map_location=str(device))
    return state


def unflattened(paths: list[Path], device: Device) -> dict[str, Any]:
    """Return what safetensors files hold, with the tensor subclasses that torchao flattened.

    Raises:
        UnavailableError: this torchao cannot read them.
    """
    from safetensors import safe_open

    try:
        from torchao.prototype.safetensors import safetensors_support
    except ImportError as error:
        raise UnavailableError("this torchao has no prototype.safetensors") from error
    metadata: dict[str, str] = {}
    tensors: dict[str, Any] = {}
    for path in paths:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata |= file.metadata() or {}
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = safetensors_support.unflatten_tensor_state_dict(tensors, metadata)
    # From 0.15 on, what could not be put together comes back as a second value.
    return dict(state[0] if isinstance(state, tuple) else state)
