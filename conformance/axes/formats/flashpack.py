"""`save_pretrained(use_flashpack=True)`: the file format of the package flashpack."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from conformance.axes.base import Device, Format
from conformance.axes.files import Contents, Piece, weight_files
from conformance.axes.pretrained import REPRESENTATIVE, from_pretrained
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError


def _require() -> None:
    if importlib.util.find_spec("flashpack") is None:
        raise UnavailableError("needs the package flashpack")


def save(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write the model with flashpack.

    Raises:
        UnavailableError: the package is not installed.
    """
    _require()
    model.save_pretrained(directory, use_flashpack=True)


def load(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Read it with flashpack."""
    options = {"torch_dtype": "bfloat16", "use_flashpack": True}
    return from_pretrained(model_class, config, directory, device, options=options)


def read(directory: Path) -> Contents:
    """Take each file as one piece."""
    pieces = (
        Piece(f"{path.name}/all", path.stat().st_size, xxhash.xxh3_128_hexdigest(path.read_bytes()))
        for path in weight_files(directory, ".flashpack")
    )
    return Contents(tuple(pieces), {})


FORMATS = (
    Format(
        name="flashpack",
        title="`save_pretrained(use_flashpack=True)`",
        save=save,
        load=load,
        read=read,
        schemes=REPRESENTATIVE,
        extra=True,
        script=FormatScript(
            save="model.save_pretrained(directory, use_flashpack=True)",
            load="loaded = {model}.from_pretrained(\n"
            "    directory, torch_dtype=torch.bfloat16, use_flashpack=True{placed}\n)",
            packages=("flashpack",),
        ),
    ),
)
