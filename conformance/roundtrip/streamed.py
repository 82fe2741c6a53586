"""Models too large to be held unquantized: filled, quantized and compared one module at a time."""

import json
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any

import psutil
import torch

from conformance.axes import models
from conformance.axes.base import Device, Size, Subject
from conformance.roundtrip.calls import BF16
from conformance.roundtrip.closeness import sqnr
from conformance.roundtrip.frugal import give_back_at_once
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.observe import is_subclass
from conformance.roundtrip.pool import Pool

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNTOLD = "meta tensor"
"""Said of a model that looks at numbers which are not there: then nothing is known of it."""


def is_streamed(subject: Subject) -> bool:
    """Is the model too large to be held unquantized?"""
    return subject.size is Size.FULL


@contextmanager
def at_large() -> Iterator[None]:
    """Work on a large model: on all cores that this process may use, and frugal with memory."""
    give_back_at_once()
    before = torch.get_num_threads()
    torch.set_num_threads(len(psutil.Process().cpu_affinity()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def require_callable(empty: Any, inputs: Mapping[str, Any]) -> None:
    """Call a model on the meta device, before gigabytes are quantized.

    Raises:
        HarnessError: its config is wrong, which is no library's fault.
    """
    try:
        models.forward(empty, inputs)
    except Exception as error:
        if UNTOLD in str(error):
            return
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise HarnessError(f"the model of this config cannot be called: {said}") from error


@dataclass(frozen=True)
class Reference:
    """What the unquantized model gives."""

    output: torch.Tensor
    layers: Mapping[str, float] = field(default_factory=dict)
    """By Linear: SQNR in dB of the quantized layer for the input that the unquantized one gets.
    Empty for models that are compared whole."""


@dataclass
class Twins:
    """The first layer of each shape, which the others take their quantized rows from."""

    first: dict[tuple[int, ...], tuple[Any, int]] = field(default_factory=dict)
    """Module and turn by shape of the weight."""
    taken: int = 0
    """Weights that were taken from a first layer, and not quantized anew."""

    def weight_for(self, module: Any, shape: tuple[int, ...], turn: int) -> Any:
        """Return the quantized weight of a module, or None where it must be quantized itself."""
        other, turned = self.first.setdefault(shape, (module, turn))
        if other is module:
            return None
        weight = turned_rows(other.weight, turn - turned)
        self.taken += 0 if weight is None else prod(shape)
        return weight


def turned_rows(weight: Any, turn: int) -> Any:
    """Return a quantized weight that begins with another row; None where rows do not stand alone.

    Every inner tensor must be a plain contiguous one with a line for each row.
    """
    if not is_subclass(weight):
        return None
    names, context = weight.__tensor_flatten__()
    inner = {name: getattr(weight, name) for name in names}
    if not all(_by_rows(each, weight.shape[0]) for each in inner.values()):
        return None
    turned = {name: _turned(each, turn % len(each)) for name, each in inner.items()}
    return type(weight).__tensor_unflatten__(turned, context, weight.shape, weight.stride())


def _turned(inner: Any, turn: int) -> Any:
    """Return a copy that begins with another row, of any dtype: not every one can be rolled."""
    copy, rest = torch.empty_like(inner), len(inner) - turn
    copy[:rest] = inner[turn:]
    copy[rest:] = inner[:turn]
    return copy


def _by_rows(inner: Any, rows: int) -> bool:
    return not is_subclass(inner) and inner.is_contiguous() and inner.shape[:1] == (rows,)


@dataclass
class Filler:
    """Gives modules on the meta device their weights, and counts what is alive of them."""

    pool: Pool
    device: Device
    names: Mapping[int, str]
    """Dotted name of a module by its `id`."""
    live: int = 0
    """Bytes of drawn weights that exist now."""
    peak: int = 0
    """The most of them that existed at once."""
    drawn: int = 0
    """Bytes given so far, as weights that are drawn or that are quantized already."""
    twins: Twins = field(default_factory=Twins)

    def __call__(self, module: Any) -> bool:
        """Replace the module's own parameters on the meta device.

        Returns:
            Whether there is something to quantize; not where a layer of equal shape was quantized
            before, whose rows this one shares.
        """
        quantized = self._quantized(module)
        for key, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta:
                name = f"{self.names[id(module)]}.{key}".removeprefix(".")
                value = self.pool.draw(name, tuple(parameter.shape)).to(str(self.device))
                given = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
                setattr(module, key, given)
                self._count(given)
        return quantized is None

    def _quantized(self, module: Any) -> Any:
        """Give a module the quantized weight of a twin, turned; return it, or None."""
        name = f"{self.names.get(id(module), '')}.weight"
        if name not in self.pool.turns or not module.weight.is_meta:
            return None
        shape = tuple(module.weight.shape)
        weight = self.twins.weight_for(module, shape, self.pool.turns[name])
        if weight is not None:
            module.weight = torch.nn.Parameter(weight, requires_grad=False)
            self.drawn += BF16 * prod(shape)
        return weight

    def _count(self, parameter: Any) -> None:
        size = parameter.numel() * parameter.element_size()
        self.drawn += size
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(parameter, self._forget, size)

    def _forget(self, size: int) -> None:
        self.live -= size


class StreamedBase:
    """The unquantized model of a large subject, of which only the part at work ever exists."""

    drawn: None = None
    whole: None = None
    """No pipeline is drawn with: it would not fit beside the model."""

    def __init__(self, subject: Subject, device: Device, seed: int, directory: Path) -> None:
        self.subject, self.device, self.seed, self.directory = subject, device, seed, directory
        self.pool = Pool(seed)
        self.inputs = models.inputs(subject, seed)
        self._empty = models.build_meta(subject)
        self.pool.share(self.linears)
        named = self._empty.named_parameters()
        self.pool.all_apart({name: tuple(each.shape) for name, each in named})
        self.filler = Filler(self.pool, device, {})
        require_callable(self._empty, self.inputs)

    @cached_property
    def linears(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights of all Linears by key."""
        return {
            f"{name}.weight": tuple(module.weight.shape)
            for name, module in self._empty.named_modules()
            if isinstance(module, torch.nn.Linear)
        }

    @cached_property
    def checkpoint(self) -> Path:
        """The model saved as bf16 safetensors, for routes that load; written as it is drawn."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self._empty.save_config(self.directory)
        try:
            write_drawn(self.directory / WEIGHTS, self._empty, self.pool)
        except OSError:  # the next case needs the room
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self.directory

    def unquantized(self) -> Any:
        """Return the model with its parameters on the meta device; `fill` gives it weights."""
        model = models.build_unfilled(self.subject)
        names = {id(module): name for name, module in model.named_modules()}
        self.filler = Filler(self.pool, self.device, names)
        return model

    @property
    def taken(self) -> int:
        """Weights of the last model that were not quantized, but taken from a layer like it."""
        return self.filler.twins.taken

    def done(self) -> int:
        """Return how many bytes of weights the last `unquantized` model has been given."""
        return self.filler.drawn

    def fill(self, module: Any) -> bool:
        """Give a module of the last `unquantized` model its own weights.

        Returns:
            Whether they are still to be quantized.
        """
        return self.filler(module)

    def complete(self, model: Any) -> Any:
        """Fill what quantizing did not visit, and move the buffers."""
        for module in model.modules():
            if id(module) in self.filler.names:
                self.filler(module)
        self.filler.twins.first.clear()
        return model.to(str(self.device)) if self.device is not Device.CPU else model

    def compare(self, model: Any, *, judged: bool) -> Reference:
        """Call the quantized model with the unquantized weights in place of the quantized ones.

        Each is drawn when its Linear is called and gone afterwards. Where the output is judged,
        the quantized layer is called, too, with the input that the unquantized one gets.
        """
        layers: dict[str, float] = {}
        with self._unquantized_linears(model, layers if judged else None):
            return Reference(models.forward(model, self.inputs), layers)

    def output_of(self, model: Any) -> torch.Tensor:
        """Call the quantized model, once: to do so twice takes long, and proves nothing more.

        Where the reader's output equals this one, the model agrees with itself; where it does not,
        the reader calls its model a second time before the difference counts.
        """
        return models.forward(model, self.inputs)

    @contextmanager
    def _unquantized_linears(self, model: Any, layers: dict[str, float] | None) -> Iterator[None]:
        changed = []
        for name, module in model.named_modules():
            if (shape := self.linears.get(f"{name}.weight")) is not None:
                draw = partial(self.pool.draw, f"{name}.weight", shape)
                module.forward = _bf16(module, draw, _note(layers, name))
                changed.append(module)
        try:
            yield
        finally:
            for module in changed:
                del module.forward


Compare = Callable[[torch.Tensor, Callable[[], torch.Tensor]], None]


def _note(layers: dict[str, float] | None, name: str) -> Compare:
    """Return what notes how close a layer's output is to the unquantized one."""

    def note(wanted: torch.Tensor, got: Callable[[], torch.Tensor]) -> None:
        if layers is not None:
            # Called twice, as some are, a layer is as good as the worse of its outputs.
            layers[name] = min(layers.get(name, float("inf")), sqnr(wanted, got()))

    return note


def _bf16(module: Any, draw: Callable[[], torch.Tensor], note: Compare) -> Callable[..., Any]:
    quantized = module.forward

    def forward(values: torch.Tensor) -> torch.Tensor:
        weight = draw().to(values.device)
        wanted: torch.Tensor = torch.nn.functional.linear(values, weight, module.bias)
        note(wanted, lambda: quantized(values))
        return wanted

    return forward


def write_drawn(path: Path, empty: Any, pool: Pool) -> None:
    """Write the bf16 checkpoint of a model without weights, a parameter at a time."""
    parameters = {name: tuple(each.shape) for name, each in empty.named_parameters()}
    buffers = {name: each for name, each in empty.state_dict().items() if name not in parameters}
    if buffers:
        raise HarnessError(f"the model saves buffers, which are not streamed: {sorted(buffers)}")
    with path.open("wb") as file:
        file.write(_header(parameters))
        for name, shape in parameters.items():
            file.write(memoryview(pool.draw(name, shape).view(torch.uint8).reshape(-1).numpy()))


def _header(parameters: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return the head of a safetensors file with these tensors in bf16, in this order."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in parameters.items():
        end = start + BF16 * prod(shape)
        entries[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
