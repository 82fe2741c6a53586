"""How much memory and disk a large case needs, reckoned before anything is built."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import psutil

from conformance.axes import models
from conformance.axes.base import Device, Scheme, Subject
from conformance.case import Case
from conformance.errors import UnavailableError

GROWTH = 1.08
"""Most memory that building, saving or loading may take, by what the model holds,"""
BASE = 600_000_000
"""and beside it: the interpreter with its libraries, one layer, one forward pass."""
HEADERS = 1.01
"""File bytes by payload bytes, at most."""
BF16 = 2
GIB = 2**30
ROOM = {
    "memory": ("memory", "available"),
    "gpu": ("GPU memory", "free"),
    "disk": ("disk", "free"),
}
"""Kinds of room, in words."""


@dataclass(frozen=True)
class Shapes:
    """The parameters of a subject by key."""

    linears: Mapping[str, tuple[int, ...]]
    """The weights of Linears."""
    others: Mapping[str, tuple[int, ...]]
    buffers: int = 0
    """Bytes of the buffers that no file holds, such as a table of positions."""

    @property
    def elements(self) -> int:
        """Numbers in all of them."""
        return sum(prod(shape) for shape in (*self.linears.values(), *self.others.values()))

    @property
    def distinct(self) -> int:
        """Numbers in one Linear of each shape."""
        return sum(prod(shape) for shape in set(self.linears.values()))


@dataclass(frozen=True)
class Budget:
    """Bytes that a case needs at most."""

    payload: int
    """Of the quantized model."""
    memory: int
    disk: int
    bf16: int
    """Of the unquantized model; it exists on disk only, for routes that load it."""
    distinct: int
    """Weights in one Linear of each shape: no bytes, but what `quantize_` goes through at least."""


@cache
def shapes(subject: Subject) -> Shapes:
    """Return the shapes of a subject's parameters, asked of a model on the meta device."""
    import torch

    model = models.build_meta(subject)
    linears = {
        f"{name}.weight": tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    others = {
        name: tuple(each.shape) for name, each in model.named_parameters() if name not in linears
    }
    saved = model.state_dict().keys()
    buffers = sum(each.nbytes for name, each in model.named_buffers() if name not in saved)
    return Shapes(linears, others, buffers)


def bound(held: float) -> int:
    """Return the most memory that a stage may take of a model that holds so many bytes."""
    return round(GROWTH * held) + BASE


def budget(case: Case) -> Budget:
    """Return what a case needs, by the most that its scheme may take for each weight."""
    loads = case.route.loads
    return reckon(
        shapes(case.subject), case.scheme, loads=loads, clones=loads and case.format.clones
    )


def reckon(found: Shapes, scheme: Scheme, *, loads: bool, clones: bool = False) -> Budget:
    """Return what a model of these shapes needs under a scheme.

    Args:
        found: shapes of the model.
        scheme: which weights it covers, and the most bytes of each.
        loads: the route reads a bf16 checkpoint, which must be written first.
        clones: saving holds every weight twice.
    """
    bf16 = BF16 * found.elements
    payload = sum(BF16 * prod(shape) for shape in found.others.values())
    for shape in found.linears.values():
        payload += scheme.payload(shape) if scheme.covers(shape) else BF16 * prod(shape)
    # A config that selects modules by name cannot be given them one at a time.
    built = bf16 if scheme.whole_model and not loads else 0
    held = payload + found.buffers
    memory = max(bound(held), held + BASE + (payload if clones else 0)) + built
    return Budget(
        payload, memory, round(HEADERS * payload) + (bf16 if loads else 0), bf16, found.distinct
    )


def missing(need: Budget, *, memory: int, disk: int, gpu: int | None = None) -> str:
    """Say what a case needs and does not find; empty where it fits into these free bytes."""
    found = {"memory": memory, "disk": disk, **({} if gpu is None else {"gpu": gpu})}
    return lacking({"memory": need.memory, "gpu": need.memory, "disk": need.disk}, found)


def lacking(needed: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Say which kinds of room are found and too small; empty where none is."""
    lacks = [
        f"{needed[kind] / GIB:.1f} GiB of {what}, {found[kind] / GIB:.1f} GiB are {state}"
        for kind, (what, state) in ROOM.items()
        if kind in found and needed[kind] > found[kind]
    ]
    return f"needs {' and '.join(lacks)}" if lacks else ""


def free(directory: Path, device: Device) -> dict[str, int]:
    """Return the free bytes of memory, of the disk of a directory, and of the GPU if one is asked.

    What this process has of memory is counted as free: the libraries are part of what a case needs.
    A device that is not there has no entry: that is told by whoever requires it.
    """
    import torch

    found = {
        "memory": psutil.virtual_memory().available + psutil.Process().memory_info().rss,
        "disk": shutil.disk_usage(directory).free,
    }
    if device is Device.CUDA and torch.cuda.is_available():
        found["gpu"] = torch.cuda.mem_get_info()[0]
    return found


def require_room(need: Budget, directory: Path, device: Device) -> None:
    """Raise UnavailableError where a case does not fit into the memory and disk at hand."""
    if lacks := missing(need, **free(directory, device)):
        raise UnavailableError(lacks)
