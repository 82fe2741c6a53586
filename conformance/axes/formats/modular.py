"""A modular pipeline of diffusers that holds the quantized model, saved and loaded as a whole.

Its blocks ask for nothing but the transformer, so every family can be in one.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Device, Format
from conformance.axes.pretrained import REPRESENTATIVE
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

PART = "transformer"


class NothingLoadedError(Exception):
    """`load_components` returned without an error, and there is no model."""


def _modular() -> Any:
    try:
        from diffusers import modular_pipelines
    except ImportError as error:
        raise UnavailableError("this diffusers has no modular pipelines") from error
    return modular_pipelines


def blocks(model_class: type) -> Any:
    """Return blocks that expect the model.

    Raises:
        UnavailableError: this diffusers has no modular pipelines.
    """
    modular = _modular()

    class Holding(modular.ModularPipelineBlocks):  # type: ignore[misc, name-defined]
        @property
        def expected_components(self) -> list[Any]:
            return [modular.ComponentSpec(PART, model_class)]

    return Holding()


def save(model: Any, directory: Path, _shard_limit: int, *, safetensors: bool) -> None:
    """Put the model into a pipeline and save that; a path is refused where a text is not."""
    pipeline = _modular().ModularPipeline(blocks=blocks(type(model)))
    pipeline.update_components(transformer=model)
    pipeline.save_pretrained(str(directory), safe_serialization=safetensors)


def load(model_class: Any, _config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Load the pipeline, its components, and take the model out.

    Raises:
        NothingLoadedError: there is none.
    """
    import torch

    pipeline = _modular().ModularPipeline(
        blocks=blocks(model_class), pretrained_model_name_or_path=str(directory)
    )
    placed = {} if device is Device.CPU else {"device_map": str(device)}
    pipeline.load_components(torch_dtype=torch.bfloat16, **placed)
    if pipeline.transformer is None:
        raise NothingLoadedError("load_components returned without an error and loaded no model")
    return pipeline.transformer


def read(directory: Path, *, safetensors: bool) -> files.Contents:
    """Read the files of the model."""
    return (files.read_safetensors if safetensors else files.read_torch)(directory / PART)


IMPORTS = frozenset(
    ("diffusers.modular_pipelines", name)
    for name in ("ComponentSpec", "ModularPipeline", "ModularPipelineBlocks")
)
HOLDING = f"""\
class Holding(ModularPipelineBlocks):
    expected_components = [ComponentSpec("{PART}", {{model}})]"""
SAVE = f"""\
{HOLDING}
pipeline = ModularPipeline(blocks=Holding())
pipeline.update_components(transformer=model)
pipeline.save_pretrained(str(directory), safe_serialization="""
LOAD = f"""\
{HOLDING}
pipeline = ModularPipeline(blocks=Holding(), pretrained_model_name_or_path=str(directory))
pipeline.load_components(torch_dtype=torch.bfloat16{{placed}})
loaded = pipeline.transformer
if loaded is None:
    raise type("NothingLoadedError", (Exception,), {{{{}}}})("load_components loaded no model")"""

FORMATS = tuple(
    Format(
        name=f"modular-{kind}",
        title=f"`ModularPipeline.save_pretrained(safe_serialization={safe})`, `load_components`",
        save=partial(save, safetensors=safe),
        load=load,
        read=partial(read, safetensors=safe),
        schemes=REPRESENTATIVE,
        extra=True,
        has_config=False,
        script=FormatScript(
            save=f"{SAVE}{safe})", load=LOAD, imports=IMPORTS, load_imports=IMPORTS
        ),
    )
    for kind, safe in (("pickle", False), ("safetensors", True))
)
