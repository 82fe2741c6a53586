"""`torch.compile` before saving and after loading.

The model is compiled and called, what was compiled is saved, and what was loaded is compiled and
called again: its output must be that of before, bit for bit.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_torch
from conformance.axes.formats import state_dict
from conformance.axes.pretrained import from_pretrained, recipe, save_pretrained

SCHEMES = ("float8wo", "int8dq", "int8wo")
PICKLED = {"safe_serialization": False}


def prepare(model: Any) -> Any:
    """Compile the model, leaving it as it is."""
    from conformance.axes import programs

    return programs.compiled(model)


def load_pretrained(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device
) -> Any:
    """Load by the published recipe, then compile."""
    from conformance.axes import programs

    options = recipe(safetensors=False)
    model = from_pretrained(model_class, config, directory, device, options=options)
    return programs.compile_in_place(model)


def load_state_dict(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device
) -> Any:
    """Assign the state dict to a plain model, then compile."""
    from conformance.axes import programs

    model = state_dict.load(model_class, config, directory, device, mmap=False)
    return programs.compile_in_place(model)


FORMATS = (
    Format(
        "compiled-pickle",
        "`torch.compile(model).save_pretrained(safe_serialization=False)`, `from_pretrained`, "
        "`model.compile()`",
        save=partial(save_pretrained, options=PICKLED),
        load=load_pretrained,
        read=read_torch,
        schemes=SCHEMES,
        ahead=True,
        prepare=prepare,
    ),
    Format(
        "compiled-state-dict",
        "`torch.save(torch.compile(model).state_dict())`, `load_state_dict(assign=True)` into a "
        "plain model, `model.compile()`",
        save=state_dict.save,
        load=load_state_dict,
        read=read_torch,
        schemes=("int8wo",),  # the names of the keys are those of every scheme
        ahead=True,
        prepare=prepare,
        has_config=False,
        has_requires_grad=False,
    ),
)
