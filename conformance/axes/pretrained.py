"""What formats share: `save_pretrained` and `from_pretrained`, and an assigned state dict."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import Contents
from conformance.axes.source import FormatScript

SINGLE = "1000GB"
SHARDS = (10, 2)
"""Shard limits in GB that people use; the first is the default of diffusers."""


def single_and_sharded(
    name: str,
    title: str,
    read: Callable[[Path], Contents],
    *,
    safetensors: bool,
    options: Mapping[str, Any],
) -> tuple[Format, ...]:
    """Return the formats of `save_pretrained(**options)`: single, and by shard limit."""
    load = partial(_load, use_safetensors=safetensors)
    save, save_shards = (partial(_save, options=options, sharded=each) for each in (False, True))
    limited = (
        Format(
            f"{name}-sharded-{gigabytes}gb",
            f"the same with `max_shard_size='{gigabytes}GB'`",
            save_shards,
            load,
            read,
            sharded=True,
            shard_bytes=gigabytes * 10**9,
            script=_script(safetensors, {**options, "max_shard_size": f"{gigabytes}GB"}),
        )
        for gigabytes in SHARDS
    )
    return (
        Format(
            name,
            title,
            save,
            load,
            read,
            crosses=True,
            script=_script(safetensors, options),
        ),
        Format(
            f"{name}-sharded",
            "the same with a small `max_shard_size`",
            save_shards,
            load,
            read,
            sharded=True,
            splits_weights=safetensors,
            script=_script(safetensors, {**options, "max_shard_size": "{limit}"}),
        ),
        *limited,
    )


def _script(safetensors: bool, options: Mapping[str, Any]) -> FormatScript:
    arguments = ", ".join(["directory", *(f"{name}={value!r}" for name, value in options.items())])
    return FormatScript(
        save=f"model.save_pretrained({arguments})",
        load=(
            "loaded = {model}.from_pretrained(\n"
            f"    directory, torch_dtype=torch.bfloat16, use_safetensors={safetensors}"
            "{placed}\n)"
        ),
    )


def _save(
    model: Any, directory: Path, shard_limit: int, *, options: Mapping[str, Any], sharded: bool
) -> None:
    limit = shard_limit if sharded else SINGLE
    model.save_pretrained(directory, max_shard_size=limit, **options)


def _load(
    model_class: Any,
    _config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    use_safetensors: bool,
) -> Any:
    """Load in bfloat16 onto `device`, as the published recipe does."""
    import torch

    return model_class.from_pretrained(
        directory,
        torch_dtype=torch.bfloat16,
        use_safetensors=use_safetensors,
        device_map=None if device is Device.CPU else str(device),
    )


def assign_state_dict(model_class: Any, config: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Build the model without weights and give it `state` with `assign=True`.

    Only parameters go to the meta device: a buffer that no state dict holds, like CogVideoX's
    position embedding, must be computed, or nothing ever fills it.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = model_class.from_config(dict(config))
    model.load_state_dict(state, assign=True)
    return model.eval()
