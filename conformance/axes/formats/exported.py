"""`torch.export.save` of the quantized model, and `torch.export.load`.

The program keeps the tensor subclasses of the model; they are pickled into the archive one by one,
and loading unpickles them: see `Format.executes`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.pt2 import SUFFIX, read_program

SCHEMES = ("float8wo", "int8dq", "int8wo", "intx4")
WITH_GRAPH = "a graph lies beside the tensors, most of a tiny program: see `reduction`"
NAME = f"program{SUFFIX}"


def save(model: Any, directory: Path, _shard_limit: int, *, strict: bool) -> None:
    """Export the model and write the program; what was loaded is a program already."""
    import torch

    from conformance.axes import programs

    program = getattr(model, "program", None) or programs.export(model, strict=strict)
    torch.export.save(program, directory / NAME)


def load(_model_class: Any, _config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Read the program."""
    import torch

    from conformance.axes import programs

    return programs.as_model(torch.export.load(directory / NAME), device)


FORMATS = tuple(
    Format(
        name=name,
        title=f"`torch.export.export(strict={strict})`, `torch.export.save`, `torch.export.load`",
        save=partial(save, strict=strict),
        load=load,
        read=read_program,
        schemes=SCHEMES,
        ahead=True,
        has_config=False,
        executes=True,
        beside=3_000_000,  # flux-small: 1.6 MB
        not_asked={"payload": WITH_GRAPH},
    )
    for name, strict in (("export", False), ("export-strict", True))
)
