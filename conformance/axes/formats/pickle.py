"""`save_pretrained(safe_serialization=False)`: files of `torch.save`, single and sharded."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Device, Format
from conformance.axes.pretrained import load_pretrained

SINGLE = "1000GB"


def save(model: Any, directory: Path, shard_limit: int, *, sharded: bool) -> None:
    """Call `save_pretrained`, with a shard limit when `sharded`."""
    model.save_pretrained(
        directory,
        safe_serialization=False,
        max_shard_size=shard_limit if sharded else SINGLE,
    )


def load(model_class: Any, _config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Call `from_pretrained` as the published recipe does."""
    return load_pretrained(model_class, directory, device, use_safetensors=False)


FORMATS = tuple(
    Format(
        name=name,
        title=title,
        save=partial(save, sharded=sharded),
        load=load,
        read=files.read_torch,
        sharded=sharded,
    )
    for name, title, sharded in (
        ("pickle", "`save_pretrained(safe_serialization=False)`", False),
        ("pickle-sharded", "the same with a small `max_shard_size`", True),
    )
)
