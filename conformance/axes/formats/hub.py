"""huggingface_hub's own helpers: `save_torch_model` and `save_torch_state_dict`, with their loads.

`load_torch_model` fills a model that is there: a plain one, as its documentation shows, or one that
is quantized already (`-into-quantized`). `load_state_dict_from_file` gives a state dict, which is
assigned. `hub-flattened` gives the helper what torchao has flattened, with its metadata.
"""

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_safetensors, read_torch, weight_files
from conformance.axes.formats.torchao_safetensors import SUPPORT, support, unflattened
from conformance.axes.pretrained import REPRESENTATIVE, SINGLE, assign_state_dict, plain_model
from conformance.axes.source import FormatScript

HUB = "huggingface_hub"
BARE = partial(
    Format, schemes=REPRESENTATIVE, extra=True, has_config=False, has_requires_grad=False
)


def save_model(model: Any, directory: Path, limit: int, *, safe: bool, sharded: bool) -> None:
    """Write the model with `save_torch_model`."""
    from huggingface_hub import save_torch_model

    size = limit if sharded else SINGLE
    save_torch_model(model, directory, safe_serialization=safe, max_shard_size=size)


def load_plain(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device, *, safe: bool
) -> Any:
    """Fill a new bf16 model with `load_torch_model`."""
    model = plain_model(model_class, config, device)
    return load_quantized(model, config, directory, device, safe=safe)


def load_quantized(
    model: Any, _config: Mapping[str, Any], directory: Path, _device: Device, *, safe: bool
) -> Any:
    """Fill a model that is there with `load_torch_model`."""
    from huggingface_hub import load_torch_model

    load_torch_model(model, directory, safe=safe)
    return model


def save_state(model: Any, directory: Path, limit: int, *, safe: bool, sharded: bool) -> None:
    """Write the state dict with `save_torch_state_dict`."""
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(
        model.state_dict(),
        directory,
        safe_serialization=safe,
        max_shard_size=limit if sharded else SINGLE,
    )


def load_state(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Read every file with `load_state_dict_from_file` and assign what they hold."""
    state: dict[str, Any] = {}
    for path in weight_files(directory, ".bin", ".safetensors"):
        state |= _of_file(path, device)
    return assign_state_dict(model_class, config, state)


def _of_file(path: Path, device: Device) -> Any:
    from huggingface_hub import load_state_dict_from_file

    # Newer releases read pickles only when they are told so; older ones cannot be told.
    asked = "safe" in inspect.signature(load_state_dict_from_file).parameters
    allowing = {"safe": False} if asked and path.suffix == ".bin" else {}
    return load_state_dict_from_file(path, map_location=str(device), weights_only=True, **allowing)


def save_flattened(model: Any, directory: Path, limit: int, *, sharded: bool) -> None:
    """Write what torchao flattens with `save_torch_state_dict`."""
    from huggingface_hub import save_torch_state_dict

    tensors, metadata = support().flatten_tensor_state_dict(model.state_dict())
    size = limit if sharded else SINGLE
    save_torch_state_dict(tensors, directory, metadata=metadata, max_shard_size=size)


def load_flattened(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device
) -> Any:
    """Read every file, unflatten and assign; the index of shards holds their metadata."""
    from safetensors import safe_open

    tensors: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    for path in weight_files(directory, ".safetensors"):
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata |= file.metadata()
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for path in directory.glob("*.index.json"):
        metadata |= json.loads(path.read_text(encoding="utf-8"))["metadata"]
    return assign_state_dict(model_class, config, unflattened(tensors, metadata))


def _options(*, safe: bool, sharded: bool) -> str:
    return f"safe_serialization={safe}" + (', max_shard_size="{limit}"' if sharded else "")


def _of_models(*, safe: bool, sharded: bool) -> Iterator[Format]:
    options = _options(safe=safe, sharded=sharded)
    form = partial(
        BARE,
        save=partial(save_model, safe=safe, sharded=sharded),
        read=read_safetensors if safe else read_torch,
        sharded=sharded,
    )
    filling = f"load_torch_model(loaded, directory, safe={safe})"
    script = FormatScript(
        save=f"save_torch_model(model, directory, {options})",
        load=f"loaded = {{model}}(**CONFIG).to(torch.bfloat16).eval()\n{filling}",
        imports=frozenset({(HUB, "save_torch_model")}),
        load_imports=frozenset({(HUB, "load_torch_model")}),
    )
    name = _named("hub", safe=safe, sharded=sharded)
    yield form(
        name=name,
        title=f"`save_torch_model({options})`, `load_torch_model` into a plain model",
        load=partial(load_plain, safe=safe),
        script=script,
    )
    if not safe:  # nothing is ever written as safetensors
        yield form(
            name=f"{name}-into-quantized",
            title="the same, `load_torch_model` into a model that is quantized already",
            load=partial(load_quantized, safe=safe),
            refills=True,
            script=replace(script, load=filling),
        )


def _of_state_dicts(*, safe: bool, sharded: bool) -> Format:
    options = _options(safe=safe, sharded=sharded)
    glob, allowing = ("*.safetensors", "") if safe else ("*.bin", ", safe=False")
    return BARE(
        name=_named("hub-state-dict", safe=safe, sharded=sharded),
        title=f"`save_torch_state_dict({options})`, `load_state_dict_from_file`",
        save=partial(save_state, safe=safe, sharded=sharded),
        load=load_state,
        read=read_safetensors if safe else read_torch,
        sharded=sharded,
        script=FormatScript(
            save=f"save_torch_state_dict(\n    model.state_dict(), directory, {options}\n)",
            load=(
                "state = {{}}\n"
                f'for path in directory.glob("{glob}"):\n'
                f"    state |= load_state_dict_from_file(path{allowing})\n"
                "loaded = {model}(**CONFIG).to(torch.bfloat16).eval()\n"
                "loaded.load_state_dict(state, assign=True)"
            ),
            imports=frozenset({(HUB, "save_torch_state_dict")}),
            load_imports=frozenset({(HUB, "load_state_dict_from_file")}),
        ),
    )


LOAD_FLATTENED = """\
metadata, tensors = {{}}, {{}}
for path in directory.glob("*.safetensors"):
    with safe_open(path, framework="pt") as file:
        metadata |= file.metadata()
        tensors |= {{name: file.get_tensor(name) for name in file.keys()}}
for path in directory.glob("*.index.json"):
    metadata |= json.loads(path.read_text())["metadata"]
state = safetensors_support.unflatten_tensor_state_dict(tensors, metadata)
loaded = {model}(**CONFIG).to(torch.bfloat16).eval()
loaded.load_state_dict(state[0] if isinstance(state, tuple) else state, assign=True)"""


def _flattened(*, sharded: bool) -> Format:
    options = ', max_shard_size="{limit}"' if sharded else ""
    return BARE(
        name="hub-flattened" + ("-sharded" if sharded else ""),
        title=(
            "`save_torch_state_dict` of torchao's `flatten_tensor_state_dict`"
            + (" with a small `max_shard_size`" if sharded else "")
        ),
        save=partial(save_flattened, sharded=sharded),
        load=load_flattened,
        read=read_safetensors,
        sharded=sharded,
        splits_weights=sharded,
        script=FormatScript(
            save=(
                "tensors, metadata = safetensors_support.flatten_tensor_state_dict("
                "model.state_dict())\n"
                f"save_torch_state_dict(tensors, directory, metadata=metadata{options})"
            ),
            load=LOAD_FLATTENED,
            imports=SUPPORT | {(HUB, "save_torch_state_dict")},
            load_imports=SUPPORT | {("safetensors", "safe_open")},
        ),
    )


def _named(word: str, *, safe: bool, sharded: bool) -> str:
    return f"{word}-{'safetensors' if safe else 'pickle'}{'-sharded' if sharded else ''}"


def _formats() -> Iterator[Format]:
    for sharded in (False, True):
        for safe in (False, True):
            yield from _of_models(safe=safe, sharded=sharded)
            yield _of_state_dicts(safe=safe, sharded=sharded)
        yield _flattened(sharded=sharded)


FORMATS = tuple(_formats())
