"""What formats share: `save_pretrained` and `from_pretrained`, and an assigned state dict."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import Contents
from conformance.axes.source import FormatScript

REPRESENTATIVE = ("float8wo", "int4wo-opaque", "int8dq", "int8wo", "intx4", "nf4")
"""The schemes that extra formats are combined with: most come back in plain formats, the opaque
int4 and NF4 do not."""

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
    single, sharded = pair(name, title, read, safetensors=safetensors, options=options)
    limited = (
        replace(
            sharded,
            name=f"{name}-sharded-{gigabytes}gb",
            title=f"the same with `max_shard_size='{gigabytes}GB'`",
            splits_weights=False,
            shard_bytes=gigabytes * 10**9,
            script=_script(
                {**options, "max_shard_size": f"{gigabytes}GB"}, recipe(safetensors=safetensors)
            ),
        )
        for gigabytes in SHARDS
    )
    return (replace(single, crosses=True), sharded, *limited)


def recipe(*, safetensors: bool) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` in the published recipe."""
    return {"torch_dtype": "bfloat16", "use_safetensors": safetensors}


def pair(
    name: str,
    title: str,
    read: Callable[[Path], Contents],
    *,
    safetensors: bool,
    options: Mapping[str, Any],
    reading: Mapping[str, Any] | None = None,
) -> tuple[Format, Format]:
    """Return two formats of `save_pretrained(**options)`, single and with small shards.

    `reading` are arguments of `from_pretrained`; None for those of the recipe.
    """
    reading = recipe(safetensors=safetensors) if reading is None else reading
    load = partial(from_pretrained, options=reading)
    save = partial(save_pretrained, options=options)
    save_shards = partial(save_pretrained, options=options, sharded=True)
    sharding = {**options, "max_shard_size": "{limit}"}
    return (
        Format(name, title, save, load, read, clones=safetensors, script=_script(options, reading)),
        Format(
            f"{name}-sharded",
            "the same with a small `max_shard_size`",
            save_shards,
            load,
            read,
            sharded=True,
            clones=safetensors,
            splits_weights=safetensors,
            script=_script(sharding, reading),
        ),
    )


def _script(options: Mapping[str, Any], reading: Mapping[str, Any]) -> FormatScript:
    arguments = ", ".join(["directory", *(f"{name}={value!r}" for name, value in options.items())])
    return FormatScript(
        save=f"model.save_pretrained({arguments})",
        load=(
            f"loaded = {{model}}.from_pretrained(\n    directory, {_written(reading)}{{placed}}\n)"
        ),
    )


def _written(reading: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}=torch.{value}" if name == "torch_dtype" else f"{name}={value!r}"
        for name, value in reading.items()
    )


def save_pretrained(
    model: Any,
    directory: Path,
    shard_limit: int,
    *,
    options: Mapping[str, Any],
    sharded: bool = False,
) -> None:
    """Save with these arguments, single or with small shards."""
    limit = shard_limit if sharded else SINGLE
    model.save_pretrained(directory, max_shard_size=limit, **options)


def from_pretrained(
    model_class: Any,
    _config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    options: Mapping[str, Any],
) -> Any:
    """Load with these arguments onto `device`; `torch_dtype` is named by a word."""
    import torch

    given = dict(options)
    if "torch_dtype" in given:
        given["torch_dtype"] = getattr(torch, given["torch_dtype"])
    if device is not Device.CPU:
        given["device_map"] = str(device)
    return model_class.from_pretrained(directory, **given)


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


def plain_model(model_class: Any, config: Mapping[str, Any], device: Device) -> Any:
    """Return an unquantized bf16 model with weights of its own, for loaders that fill a model."""
    import torch

    return model_class.from_config(dict(config)).to(str(device), torch.bfloat16).eval()


def extra(form: Format, schemes: tuple[str, ...] = REPRESENTATIVE) -> Format:
    """Return the format as one that runs when it is asked for, with a few schemes."""
    return replace(form, extra=True, schemes=schemes)
