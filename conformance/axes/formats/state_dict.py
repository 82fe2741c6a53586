"""`torch.save(state_dict)` and `load_state_dict(assign=True)` on a model without weights."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Device, Format
from conformance.axes.pretrained import assign_state_dict
from conformance.axes.source import FormatScript

NAME = "state_dict.pt"


def save(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write the state dict with `torch.save`."""
    import torch

    torch.save(model.state_dict(), directory / NAME)


def load(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device, *, mmap: bool
) -> Any:
    """Read it with `weights_only=True` and assign it to a model on the meta device."""
    import torch

    state = torch.load(directory / NAME, weights_only=True, mmap=mmap, map_location=str(device))
    return assign_state_dict(model_class, config, state)


LOAD = f"""\
path = directory / "{NAME}"
state = torch.load(path, weights_only=True{{options}}, map_location="{{{{device}}}}")
loaded = {{{{model}}}}(**CONFIG).to(torch.bfloat16).eval()
loaded.load_state_dict(state, assign=True)"""

FORMATS = tuple(
    Format(
        name=name,
        title=f"`torch.save(state_dict)`, `torch.load(weights_only=True, mmap={mmap})`",
        save=save,
        load=partial(load, mmap=mmap),
        read=files.read_torch,
        has_config=False,
        has_requires_grad=False,
        crosses=not mmap,
        script=FormatScript(
            save=f'torch.save(model.state_dict(), directory / "{NAME}")',
            load=LOAD.format(options=", mmap=True" if mmap else ""),
        ),
    )
    for name, mmap in (("state-dict", False), ("state-dict-mmap", True))
)
