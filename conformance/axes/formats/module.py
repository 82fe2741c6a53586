"""`torch.save(model)`: the whole module as a pickle.

Loading it executes what is in the file. A worker does so with what the suite's own writer has just
written, and no other process ever does: see `Format.executes`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_torch
from conformance.axes.pretrained import REPRESENTATIVE
from conformance.axes.source import FormatScript

NAME = "module.pt"


def save(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write the module with `torch.save`."""
    import torch

    torch.save(model, directory / NAME)


def load(
    _model_class: Any, _config: Mapping[str, Any], directory: Path, device: Device, *, safe: bool
) -> Any:
    """Read it with `torch.load`."""
    import torch

    return torch.load(directory / NAME, weights_only=safe, map_location=str(device))


FORMATS = tuple(
    Format(
        name=name,
        title=f"`torch.save(model)`, `torch.load(weights_only={safe})`",
        save=save,
        load=partial(load, safe=safe),
        read=read_torch,
        schemes=REPRESENTATIVE,
        extra=True,
        has_config=False,
        executes=not safe,
        holds_all=True,
        script=FormatScript(
            save=f'torch.save(model, directory / "{NAME}")',
            load=(
                f'loaded = torch.load(directory / "{NAME}", weights_only={safe}, '
                'map_location="{device}")'
            ),
        ),
    )
    for name, safe in (("module", False), ("module-weights-only", True))
)
