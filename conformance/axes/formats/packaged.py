"""Packages of AOTInductor: `aoti_compile_and_package`, `aoti_load_package`.

`aoti` has its constants inside, behind the compiled code. `aoti-outside` has them beside it, as the
state dict of the quantized model, from which they are loaded into the package. `aoti-unfilled` is
such a package that is called without them.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_torch
from conformance.axes.formats import state_dict
from conformance.axes.pt2 import SUFFIX, read_package

NAME = f"package{SUFFIX}"
SCHEMES = ("float8wo", "int8wo")
INSIDE = "aot_inductor.package_constants_in_so"
COPIED = "what was loaded is a file, which is saved by copying it"
NO_TENSORS = "a package shows no tensors: its constants are bytes behind its code"
WITH_CODE = "code lies beside the tensors, most of a tiny package: see `reduction`"
OF_TENSORS = (
    "aliasing",
    "attributes",
    "bits",
    "device",
    "dtype",
    "keys",
    "requires_grad",
    "shape",
    "subclass",
)


def prepare(model: Any, *, inside: bool) -> Any:
    """Compile the model to a package, and load that."""
    from conformance.axes import programs

    programs.forget()
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        path = Path(name) / NAME
        programs.package(model, path, {INSIDE: inside})
        return programs.Package(path, model.device, None if inside else model)


def save(package: Any, directory: Path, _shard_limit: int) -> None:
    """Write the package alone."""
    (directory / NAME).write_bytes(package.content)


def save_with_state(package: Any, directory: Path, shard_limit: int) -> None:
    """Write the package, and the state dict of its model beside it."""
    save(package, directory, shard_limit)
    state_dict.save(package, directory, shard_limit)


def load(_model_class: Any, _config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Load the package, with what is in it."""
    import torch

    from conformance.axes import programs

    return programs.Package(directory / NAME, torch.device(str(device)))


def load_with_state(
    model_class: Any, config: Mapping[str, Any], directory: Path, device: Device
) -> Any:
    """Load the package, and the state dict as its constants."""
    from conformance.axes import programs

    model = state_dict.load(model_class, config, directory, device, mmap=False)
    return programs.Package(directory / NAME, model.device, model)


def _format(name: str, title: str, *, schemes: tuple[str, ...] = SCHEMES, **more: Any) -> Format:
    return Format(
        name,
        title,
        schemes=schemes,
        ahead=True,
        has_config=False,
        executes=True,
        beside=3_000_000,  # flux-small: 2.7 MB
        **more,
    )


ALONE: Mapping[str, Any] = {"save": save, "load": load, "read": read_package}
UNSEEN = {**dict.fromkeys(OF_TENSORS, NO_TENSORS), "payload": WITH_CODE, "resave": COPIED}
FORMATS = (
    _format(
        "aoti",
        "`aoti_compile_and_package`, `aoti_load_package`: constants inside",
        prepare=partial(prepare, inside=True),
        not_asked=UNSEEN,
        **ALONE,
    ),
    _format(
        "aoti-outside",
        "the same without constants, and `torch.save(state_dict)`; `load_constants`",
        prepare=partial(prepare, inside=False),
        save=save_with_state,
        load=load_with_state,
        read=read_torch,
        has_requires_grad=False,
        not_asked={"payload": WITH_CODE},
    ),
    _format(
        "aoti-unfilled",
        "the same without constants, called before `load_constants`",
        schemes=("int8wo",),
        prepare=partial(prepare, inside=False),
        not_asked=UNSEEN,
        **ALONE,
    ),
)
