"""accelerate's `save_model`, and `load_checkpoint_in_model` into three kinds of models.

A plain model, a model that is quantized already (`-into-quantized`), and a model on the meta device
with a device map, which is how accelerate loads what is large (`-mapped`).
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import REPRESENTATIVE, SINGLE, plain_model
from conformance.axes.source import FormatScript


def save(model: Any, directory: Path, limit: int, *, safe: bool, sharded: bool) -> None:
    """Write the model with `Accelerator.save_model`."""
    from accelerate import Accelerator

    size = limit if sharded else SINGLE
    Accelerator(cpu=True).save_model(model, directory, max_shard_size=size, safe_serialization=safe)


def load_plain(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Fill a new bf16 model."""
    return load_quantized(plain_model(model_class, config, device), config, directory, device)


def load_quantized(model: Any, _config: Mapping[str, Any], directory: Path, _device: Device) -> Any:
    """Fill a model that is there."""
    from accelerate import load_checkpoint_in_model

    load_checkpoint_in_model(model, directory)
    return model


def load_mapped(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device
) -> Any:
    """Fill a model on the meta device, by a device map."""
    import torch
    from accelerate import init_empty_weights, load_checkpoint_in_model

    with init_empty_weights(include_buffers=False):
        model = model_class.from_config(dict(config))
    load_checkpoint_in_model(model, directory, {"": str(device)}, dtype=torch.bfloat16)
    return model


LOADS = {
    "": (
        load_plain,
        "loaded = {model}(**CONFIG).to(torch.bfloat16).eval()\n"
        "load_checkpoint_in_model(loaded, directory)",
    ),
    "-into-quantized": (load_quantized, "load_checkpoint_in_model(loaded, directory)"),
    "-mapped": (
        load_mapped,
        "with init_empty_weights(include_buffers=False):\n"
        "    loaded = {model}(**CONFIG).eval()\n"
        'load_checkpoint_in_model(loaded, directory, {{"": "{device}"}}, dtype=torch.bfloat16)',
    ),
}
"""End of a name -> the load, and its lines of a repro."""


def _formats(*, safe: bool, sharded: bool) -> Iterator[Format]:
    kind = ("safetensors" if safe else "pickle") + ("-sharded" if sharded else "")
    options = f"safe_serialization={safe}" + (', max_shard_size="{limit}"' if sharded else "")
    for end, (load, lines) in LOADS.items():
        if safe and end:  # nothing is ever written as safetensors
            continue
        names = ["load_checkpoint_in_model", *(["init_empty_weights"] if "with" in lines else [])]
        yield Format(
            name=f"accelerate-{kind}{end}",
            title=f"`Accelerator.save_model({options})`, `load_checkpoint_in_model`{_into(end)}",
            save=partial(save, safe=safe, sharded=sharded),
            load=load,
            read=read_safetensors if safe else read_torch,
            sharded=sharded,
            schemes=REPRESENTATIVE,
            extra=True,
            refills=load is load_quantized,
            has_config=False,
            has_requires_grad=False,
            script=FormatScript(
                save=f"Accelerator(cpu=True).save_model(\n    model, directory, {options}\n)",
                load=lines,
                imports=frozenset({("accelerate", "Accelerator")}),
                load_imports=frozenset(("accelerate", name) for name in names),
            ),
        )


def _into(end: str) -> str:
    return {
        "": " into a plain model",
        "-into-quantized": " into a quantized model",
        "-mapped": " with a device map",
    }[end]


FORMATS = tuple(
    each
    for safe in (False, True)
    for sharded in (False, True)
    for each in _formats(safe=safe, sharded=sharded)
)
