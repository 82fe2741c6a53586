"""GGUF: diffusers reads it and writes it never. What was read from GGUF must refuse to be saved.

The model's weights are written into a GGUF file by the package gguf, dequantized and in float16,
and `from_single_file` reads them with a `GGUFQuantizationConfig`. That model is asked to save
itself.
"""

import importlib.util
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import from_pretrained, recipe
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError


def save(model: Any, directory: Path, _shard_limit: int, *, safetensors: bool) -> None:
    """Read the model from a GGUF file and save what was read.

    Raises:
        UnavailableError: the package gguf is not installed, or the class reads no single files.
    """
    if importlib.util.find_spec("gguf") is None:
        raise UnavailableError("needs the package gguf")
    if not hasattr(type(model), "from_single_file"):
        raise UnavailableError(f"{type(model).__name__} has no from_single_file, so reads no GGUF")
    with tempfile.TemporaryDirectory() as name:
        read = _through_gguf(model, Path(name))
    read.save_pretrained(directory, safe_serialization=safetensors)


def _through_gguf(model: Any, place: Path) -> Any:
    import torch
    from diffusers import GGUFQuantizationConfig
    from gguf import GGUFWriter

    writer = GGUFWriter(place / "model.gguf", "flux")
    for key, value in model.state_dict().items():
        whole = value.dequantize() if hasattr(value, "dequantize") else value
        writer.add_tensor(key, whole.to(torch.float16).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.save_config(place)
    return type(model).from_single_file(
        str(place / "model.gguf"),
        config=str(place),
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.bfloat16),
        torch_dtype=torch.bfloat16,
    )


def load(
    model_class: Any,
    config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    safetensors: bool,
) -> Any:
    """Load what was saved, should it ever be."""
    options = recipe(safetensors=safetensors)
    return from_pretrained(model_class, config, directory, device, options=options)


SAVE = """\
with tempfile.TemporaryDirectory() as folder:
    writer = GGUFWriter(Path(folder) / "model.gguf", "flux")
    for key, value in model.state_dict().items():
        whole = value.dequantize() if hasattr(value, "dequantize") else value
        writer.add_tensor(key, whole.to(torch.float16).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.save_config(folder)
    read = {model}.from_single_file(
        str(Path(folder) / "model.gguf"), config=folder, torch_dtype=torch.bfloat16,
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.bfloat16),
    )
read.save_pretrained(directory, safe_serialization="""
LOAD = """\
loaded = {model}.from_pretrained(
    directory, torch_dtype=torch.bfloat16, use_safetensors="""
IMPORTS = frozenset({("gguf", "GGUFWriter"), ("diffusers", "GGUFQuantizationConfig")})

FORMATS = tuple(
    Format(
        name=f"gguf-to-{kind}",
        title=f"read from GGUF, then `save_pretrained(safe_serialization={safetensors})`",
        save=partial(save, safetensors=safetensors),
        load=partial(load, safetensors=safetensors),
        read=read_safetensors if safetensors else read_torch,
        schemes=("float8wo", "int8dq", "int8wo"),
        extra=True,
        script=FormatScript(
            save=f"{SAVE}{safetensors})",
            load=f"{LOAD}{safetensors}{{placed}}\n)",
            imports=IMPORTS,
            packages=("gguf",),
        ),
    )
    for kind, safetensors in (("pickle", False), ("safetensors", True))
)
