"""LoRA adapters (peft) on top of the quantized model, saved and loaded with it.

The adapters are on the attention projections and have weights of their own, so they change the
output. `lora-<kind>` is what diffusers documents: the base without adapters, and the adapters by
`save_lora_adapter`; `lora-peft-<kind>` takes the adapters out by peft itself, as training scripts
do, and `lora-any-file` reads that with the defaults. `lora-left-in-<kind>` saves the model as it
is. `lora-state-dict` is all of it in one file, assigned to a model that has been given the same
adapters.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.altering import Alteration
from conformance.axes.base import Device, Format
from conformance.axes.formats import state_dict
from conformance.axes.pretrained import REPRESENTATIVE, from_pretrained, recipe, save_pretrained
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

PLACE = "lora"
"""The folder of the adapters, within that of the base."""
NAME = "default"
TARGETS = r".*\.to_[qkv]"
"""A pattern, and no list: that would be saved in the random order of a set."""
FILE = "pytorch_lora_weights.safetensors"
RANK = 4


def adapted(model: Any) -> Any:
    """Add adapters with seeded weights.

    Raises:
        UnavailableError: the package peft is not installed.
    """
    import torch

    with_adapters(model)
    generator = torch.Generator(model.device).manual_seed(0)
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return model


def with_adapters(model: Any) -> Any:
    """Add adapters to a model, on the meta device too.

    Raises:
        UnavailableError: the package peft is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise UnavailableError("needs the package peft")
    from peft import LoraConfig

    model.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS), NAME)
    return model


def save_adapter(model: Any, place: Path) -> None:
    """Write the adapters with `save_lora_adapter`."""
    model.save_lora_adapter(place, adapter_name=NAME)


def save_by_peft(model: Any, place: Path) -> None:
    """Write the adapters as peft takes them out of the model."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    place.mkdir()
    save_file(get_peft_model_state_dict(model, adapter_name=NAME), place / FILE)


def save(
    model: Any,
    directory: Path,
    shard_limit: int,
    *,
    options: Mapping[str, Any],
    adapters: Callable[[Any, Path], None],
) -> None:
    """Write the adapters, take them off, and write the base."""
    adapters(model, directory / PLACE)
    model.unload_lora()
    save_pretrained(model, directory, shard_limit, options=options)


def load(
    model_class: Any,
    config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    options: Mapping[str, Any],
    more: Mapping[str, Any],
) -> Any:
    """Load the base and then the adapters; `more` is for `load_lora_adapter`."""
    model = from_pretrained(model_class, config, directory, device, options=options)
    model.load_lora_adapter(directory / PLACE, prefix=None, adapter_name=NAME, **more)
    return model.eval()


def load_whole(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Give a model without weights the same adapters, and assign the whole state dict."""
    import torch
    from accelerate import init_empty_weights

    state = torch.load(directory / state_dict.NAME, weights_only=True, map_location=str(device))
    with init_empty_weights(include_buffers=False):
        model = with_adapters(model_class.from_config(dict(config)))
    model.load_state_dict(state, assign=True)
    return model.eval()


def read(directory: Path, *, safetensors: bool) -> files.Contents:
    """Read the files of the base, and those of the adapters where they have a folder."""
    base = (files.read_safetensors if safetensors else files.read_torch)(directory)
    if not (directory / PLACE).is_dir():
        return base
    adapters = files.read_safetensors(directory / PLACE)
    return files.Contents((*base.pieces, *adapters.pieces), {**base.notes, **adapters.notes})


LORA = partial(
    Format, schemes=REPRESENTATIVE, extra=True, alters=Alteration(quantized=adapted, plain=adapted)
)
ADD = f"""\
model.add_adapter(LoraConfig(r={RANK}, lora_alpha={RANK}, target_modules=r"{TARGETS}"))
for each in (each for name, each in model.named_parameters() if ".lora_" in name):
    torch.nn.init.normal_(each, std=0.1)"""
IMPORTS = frozenset({("peft", "LoraConfig")})
LOAD = f"""\
loaded.load_lora_adapter(
    directory / "{PLACE}", prefix=None, adapter_name="{NAME}\""""
TAKEN_OUT = f"""\
(directory / "{PLACE}").mkdir()
save_file(get_peft_model_state_dict(model), directory / "{PLACE}/{FILE}")"""


def _lines(kind: str) -> tuple[str, str]:
    """Return the lines that save and that load the base alone."""
    safe = kind == "safetensors"
    return (
        f"model.save_pretrained(directory, safe_serialization={safe})",
        f"loaded = {{model}}.from_pretrained(\n"
        f"    directory, torch_dtype=torch.bfloat16, use_safetensors={safe}{{placed}}\n)",
    )


def _beside(kind: str, *, by_peft: bool) -> Format:
    """Return a format that has the adapters beside the base."""
    safe = kind == "safetensors"
    saving, loading = _lines(kind)
    out = TAKEN_OUT if by_peft else f'model.save_lora_adapter(directory / "{PLACE}")'
    taking = {("peft", "get_peft_model_state_dict"), ("safetensors.torch", "save_file")}
    return LORA(
        name=f"lora-{'peft-' if by_peft else ''}{kind}",
        title=f"`save_pretrained(safe_serialization={safe})` and "
        f"`{'get_peft_model_state_dict' if by_peft else 'save_lora_adapter'}`",
        save=partial(
            save,
            options={"safe_serialization": safe},
            adapters=save_by_peft if by_peft else save_adapter,
        ),
        load=partial(load, options=recipe(safetensors=safe), more={"use_safetensors": True}),
        read=partial(read, safetensors=safe),
        script=FormatScript(
            alters=ADD,
            save=f"{out}\nmodel.unload_lora()\n{saving}",
            load=f"{loading}\n{LOAD}, use_safetensors=True\n)",
            packages=("peft",),
            imports=IMPORTS | (taking if by_peft else set()),
        ),
    )


def _with_defaults(form: Format) -> Format:
    """Return the format whose adapters are read with the defaults of `load_lora_adapter`."""
    lines = form.script
    return replace(
        form,
        name="lora-any-file",
        title=f"`{form.name}`, adapters read with `use_safetensors` omitted",
        load=partial(load, options=recipe(safetensors=False), more={}),
        script=lines and replace(lines, load=f"{_lines('pickle')[1]}\n{LOAD}\n)"),
    )


def _left_in(kind: str) -> Format:
    """Return a format that saves the model with its adapters as any other model."""
    saving, loading = _lines(kind)
    return LORA(
        name=f"lora-left-in-{kind}",
        title=f"`save_pretrained(safe_serialization={kind == 'safetensors'})` of a model with "
        "adapters",
        save=partial(save_pretrained, options={"safe_serialization": kind == "safetensors"}),
        load=partial(from_pretrained, options=recipe(safetensors=kind == "safetensors")),
        read=partial(read, safetensors=kind == "safetensors"),
        script=FormatScript(
            alters=ADD, save=saving, load=loading, packages=("peft",), imports=IMPORTS
        ),
    )


KINDS = ("pickle", "safetensors")
FORMATS = (
    *(_beside(kind, by_peft=by_peft) for by_peft in (False, True) for kind in KINDS),
    _with_defaults(_beside("pickle", by_peft=True)),
    *map(_left_in, KINDS),
    LORA(
        name="lora-state-dict",
        title="`torch.save(state_dict)` of a model with adapters, assigned to one with the same",
        save=state_dict.save,
        load=load_whole,
        read=files.read_torch,
        has_config=False,
        has_requires_grad=False,
        script=FormatScript(
            alters=ADD,
            save=f'torch.save(model.state_dict(), directory / "{state_dict.NAME}")',
            load=f'state = torch.load(directory / "{state_dict.NAME}", weights_only=True)\n'
            "loaded = {model}(**CONFIG).to(torch.bfloat16).eval()\n"
            + ADD.partition("\n")[0].replace("model.", "loaded.", 1)
            + "\nloaded.load_state_dict(state, assign=True)",
            packages=("peft",),
            imports=IMPORTS,
            load_imports=IMPORTS,
        ),
    ),
)
