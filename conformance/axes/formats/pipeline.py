"""`pipeline.save_pretrained` with a quantized transformer, and the pipeline's `from_pretrained`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Device, Format
from conformance.axes.files import Contents
from conformance.axes.source import FormatScript

TRANSFORMER = "transformer"


def save(pipeline: Any, directory: Path, _shard_limit: int, *, safetensors: bool) -> None:
    """Write every part of the pipeline."""
    pipeline.save_pretrained(directory, safe_serialization=safetensors)


def load(
    pipeline_class: Any,
    _config: Mapping[str, Any],
    directory: Path,
    device: Device,
    *,
    safetensors: bool,
) -> Any:
    """Read every part of it in bfloat16 onto `device`.

    Pickles are not insisted on: what transformers 5 adds to them is safetensors in any case.
    """
    import torch

    return pipeline_class.from_pretrained(
        directory,
        torch_dtype=torch.bfloat16,
        use_safetensors=safetensors or None,
        device_map=None if device is Device.CPU else str(device),
    )


def read(directory: Path, *, safetensors: bool) -> Contents:
    """Read the weight files of the transformer."""
    reader = files.read_safetensors if safetensors else files.read_torch
    return reader(directory / TRANSFORMER)


def _script(safe: bool) -> FormatScript:
    """A model is saved in a pipeline that has no other part: what is quantized is all there is."""
    read = "directory.parent, torch_dtype=torch.bfloat16, "
    return FormatScript(
        save=(
            "pipeline = {pipeline}(transformer=model, **OTHERS)\n"
            f"pipeline.save_pretrained(directory.parent, safe_serialization={safe})"
        ),
        load=(
            "loaded = {pipeline}.from_pretrained(\n"
            f"    {read}{'use_safetensors=True, ' if safe else ''}**OTHERS{{placed}}\n"
            ").transformer"
        ),
    )


FORMATS = tuple(
    Format(
        name=f"pipeline-{kind}",
        title=f"`pipeline.save_pretrained(safe_serialization={safe})`",
        save=partial(save, safetensors=safe),
        load=partial(load, safetensors=safe),
        read=partial(read, safetensors=safe),
        within=TRANSFORMER,
        script=_script(safe),
    )
    for kind, safe in (("safetensors", True), ("pickle", False))
)
