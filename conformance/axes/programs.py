"""Programs that were made of a model ahead of time: how they are made, called and looked at.

Imports torch: formats import it when they save or load.
"""

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch._functorch._aot_autograd.subclass_parametrization import (
    unwrap_tensor_subclass_parameters,
)

from conformance.axes import models, registry
from conformance.axes.base import Device, Family
from conformance.errors import UnavailableError


def family_of(model: Any) -> Family:
    """Return the family of the model's class, whose inputs a program is traced with."""
    name = type(model).__name__
    return next(
        each.family for each in registry.subjects().values() if each.family.class_name == name
    )


def example(model: Any) -> dict[str, Any]:
    """Return the keyword arguments of one call, those that the suite calls the model with."""
    return models.call_of(model, family_of(model).inputs(dict(model.config), 0))


def export(model: Any, *, strict: bool) -> Any:
    """Return the model as an `ExportedProgram`."""
    with torch.no_grad():
        return torch.export.export(model, (), example(model), strict=strict)


def as_model(program: Any, device: Device) -> Any:
    """Return the module of an `ExportedProgram`, with what it lacks of a model.

    It has no `device`, and raises when it is asked for its evaluation mode: a graph has one mode.
    """
    module = program.module()
    module.eval = lambda: module
    module.device = torch.device(str(device))
    module.program = program
    return module


def compiled(model: Any) -> Any:
    """Return what `torch.compile` makes of the model; it compiles when it is called."""
    forget()
    return torch.compile(model, fullgraph=True)


def compile_in_place(model: Any) -> Any:
    """Let a model that was loaded compile itself, under the names that it has."""
    forget()
    model.compile(fullgraph=True)
    return model


def forget() -> None:
    """Let torch compile anew, in this process: it gives up on a class after a few models of it."""
    require_compiler()
    torch._dynamo.reset()
    torch._inductor.config.compile_threads = 1
    # What is compiled again must not come out of a cache of what was compiled before.
    torch._inductor.config.fx_graph_cache = False
    torch._functorch.config.enable_autograd_cache = False


def require_compiler() -> None:
    """See that there is what torch compiles for the CPU with.

    Raises:
        UnavailableError: there is not.
    """
    named = os.environ.get("CXX", "g++")
    if shutil.which(named) is None:
        raise UnavailableError(f"needs a C++ compiler, {named} is not there")


class Package(torch.nn.Module):  # type: ignore[misc]
    """A package of AOTInductor, called like the model; it holds `model`'s tensors, if any.

    Its code is loaded from a copy that torch unpacks, so the file may go.
    """

    def __init__(self, path: Path, device: torch.device, model: Any = None) -> None:
        super().__init__()
        self.content, self.device = path.read_bytes(), device
        self._runner = torch._inductor.aoti_load_package(str(path))
        if model is not None:
            self._modules, self._parameters, self._buffers = (
                model._modules,
                model._parameters,
                model._buffers,
            )
            self.fill(model)

    def forward(self, **inputs: Any) -> Any:
        """Call the compiled code."""
        return self._runner(**inputs)

    def fill(self, model: Any) -> None:
        """Load the constants, those of this model."""
        self._runner.load_constants(self._constants(model), check_full_update=True)

    def _constants(self, model: Any) -> dict[str, torch.Tensor]:
        """Return the model's tensors by the names of the constants: those inside of subclasses."""
        # What `load_state_dict(assign=True)` leaves, torch cannot unwrap: see the finding
        # reloaded-int8-cannot-be-packaged.
        frozen = copy.deepcopy(model).requires_grad_(False)
        plain = unwrap_tensor_subclass_parameters(frozen)
        tensors = {
            **dict(plain.named_parameters(remove_duplicate=False)),
            **dict(plain.named_buffers(remove_duplicate=False)),
        }
        return {name: tensors[name].detach() for name in self._runner.get_constant_fqns()}


def package(model: Any, path: Path, options: Mapping[str, Any]) -> None:
    """Compile the model with AOTInductor and write the package."""
    program = export(model, strict=False)
    torch._inductor.aoti_compile_and_package(
        program, package_path=str(path), inductor_configs=dict(options)
    )
