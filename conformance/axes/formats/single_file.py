"""`from_single_file` on the one weight file that `save_pretrained` wrote.

It takes the model's config from the folder, but neither looks for a quantization there nor for a
quantizer: `-with-config` hands it the quantization that `config.json` names.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import REPRESENTATIVE, save_pretrained
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

FILE = "diffusion_pytorch_model"


def load(
    model_class: Any,
    _config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    suffix: str,
    quantized: bool,
) -> Any:
    """Load the file.

    Raises:
        UnavailableError: the class has no such loader, or there is no quantization to hand over.
    """
    import torch

    if not hasattr(model_class, "from_single_file"):
        raise UnavailableError(f"{model_class.__name__} has no from_single_file")
    return model_class.from_single_file(
        str(directory / f"{FILE}{suffix}"),
        config=str(directory),
        torch_dtype=torch.bfloat16,
        device=str(device),
        **(_quantization(directory) if quantized else {}),
    )


def _quantization(directory: Path) -> dict[str, Any]:
    """Return the quantization that `config.json` names, as an argument."""
    from diffusers import TorchAoConfig

    named = json.loads((directory / "config.json").read_text()).get("quantization_config")
    if named is None:
        raise UnavailableError("config.json names no quantization on this route")
    return {"quantization_config": TorchAoConfig.from_dict(named)}


NAMED = """\
named = json.loads((directory / "config.json").read_text())["quantization_config"]
"""


def _script(suffix: str, *, safetensors: bool, quantized: bool) -> FormatScript:
    argument = "    quantization_config=TorchAoConfig.from_dict(named),\n" if quantized else ""
    return FormatScript(
        save=f"model.save_pretrained(directory, safe_serialization={safetensors})",
        load=f"{NAMED if quantized else ''}"
        "loaded = {model}.from_single_file(\n"
        f'    str(directory / "{FILE}{suffix}"), config=str(directory),\n'
        f'{argument}    torch_dtype=torch.bfloat16, device="{{device}}",\n)',
        load_imports=frozenset({("diffusers", "TorchAoConfig")} if quantized else ()),
    )


FORMATS = tuple(
    Format(
        name=f"single-file-{kind}{'-with-config' if quantized else ''}",
        title=f"`save_pretrained(safe_serialization={kind == 'safetensors'})`, "
        f"`from_single_file({'quantization_config=...' if quantized else ''})`",
        save=partial(save_pretrained, options={"safe_serialization": kind == "safetensors"}),
        load=partial(load, suffix=suffix, quantized=quantized),
        read=read,
        schemes=REPRESENTATIVE,
        extra=True,
        script=_script(suffix, safetensors=kind == "safetensors", quantized=quantized),
    )
    for kind, suffix, read in (
        ("pickle", ".bin", read_torch),
        ("safetensors", ".safetensors", read_safetensors),
    )
    for quantized in (False, True)
)
