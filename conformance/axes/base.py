"""What an axis value is. Nothing here imports torch: declaring a value must cost nothing."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance._compat import StrEnum
from conformance.axes.files import Contents
from conformance.axes.source import FormatScript, InputsScript, Source
from conformance.errors import UnavailableError


class Size(StrEnum):
    """How much of a model is built."""

    TINY = "tiny"
    """Fastest that still has every kind of layer."""
    SMALL = "small"
    """At least 10 M parameters, so that size ratios mean something."""
    FULL = "full"
    """The dimensions of a published model, with random weights."""


class Device(StrEnum):
    """Where a case builds, quantizes, saves and loads."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True)
class Family:
    """A model architecture of diffusers: its class and inputs that fit a model config."""

    name: str
    model_class: str
    """Name of the class in the `diffusers` package."""
    inputs: Callable[..., dict[str, Any]]
    """`(model config, seed) -> keyword arguments of forward`, float tensors in bfloat16 on CPU.

    A family with models of published dimensions takes `short=True`, too: for those a sequence as
    short as the model takes."""
    script: InputsScript | None = None
    """The like for a repro: `model config -> lines before a call, its keywords`."""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Defaults of the class, which a repro leaves out of its model config."""
    extra: bool = False
    """Its cases run when globs or markers ask for them, not by default."""

    def load_class(self) -> Any:
        """Import and return the model class.

        Raises:
            UnavailableError: the installed diffusers has no such class.
        """
        diffusers = importlib.import_module("diffusers")
        try:
            return getattr(diffusers, self.model_class)
        except AttributeError as error:
            raise UnavailableError(
                f"diffusers {diffusers.__version__} has no {self.model_class}"
            ) from error


@dataclass(frozen=True)
class Subject:
    """A family at a size, built from the JSON model config `fixtures/models/<name>.json`."""

    name: str
    family: Family
    size: Size
    parameters: int
    """Parameter count, checked on the meta device."""
    schemes: tuple[str, ...] | None = None
    """The schemes that cases combine it with; None for all of them."""
    formats: tuple[str, ...] | None = None
    """The formats, likewise; None for all that have no shard limit of their own."""
    deeper: float = 0.0
    """By how many dB its output may be under a scheme's floor, which few layers were measured for:
    quantization noise adds up over hundreds of layers."""


@dataclass(frozen=True)
class Needs:
    """What a step needs of the machine and of the environment."""

    devices: tuple[Device, ...] = (Device.CPU, Device.CUDA)
    capability: tuple[int, int] | None = None
    """Lowest CUDA compute capability."""
    packages: tuple[str, ...] = ()
    """Import names of packages that torchao calls but does not depend on."""
    probe: Callable[[], str | None] | None = None
    """Returns the reason why a kernel is not there, or None when it is."""

    def missing(self, device: Device) -> str | None:
        """Say in a few words what is missing on `device`, or return None."""
        if device not in self.devices:
            return f"needs {' or '.join(self.devices).upper()}"
        if self.capability and device is Device.CUDA and _capability() < self.capability:
            return f"needs CUDA compute capability {'.'.join(map(str, self.capability))}"
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"needs the package {package}"
        return self.probe() if self.probe else None


def _capability() -> tuple[int, int]:
    torch = importlib.import_module("torch")
    return tuple(torch.cuda.get_device_capability())


@dataclass(frozen=True)
class Recipe:
    """One way in which some torchao releases are asked for a scheme."""

    symbol: str
    """`module:name` of a config class, or of a callable of the releases before 0.9."""
    tensors: Mapping[int, Sequence[str]]
    """Tensor subclasses that it gives, by the config's `version` (0 where there is none)."""
    arguments: Callable[[], Mapping[str, Any]] = dict
    """Keyword arguments; a function, because most of them are torchao objects."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Attributes set afterwards, for a config class whose constructor takes no arguments."""

    def find(self) -> Any | None:
        """Return the config class or callable, or None when the installed torchao lacks it."""
        module, _, name = self.symbol.partition(":")
        try:
            return getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError:
            return None

    def build(self) -> Any | None:
        """Return the config, or None when the installed torchao lacks it."""
        factory = self.find()
        if factory is None:
            return None
        config = factory(**self.arguments())
        for name, value in self.settings.items():
            setattr(config, name, value)
        return config


REFUSALS = (TypeError, ValueError, AttributeError, AssertionError, ImportError, RuntimeError)
"""How torchao says that it does not accept a config, or that a module of it cannot be imported."""


def one_line(error: BaseException) -> str:
    """Name the error and give the first line of its message."""
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@dataclass(frozen=True)
class Quantization:
    """A scheme resolved for the torchao at hand."""

    config: Any
    """A config object, or the function that an old release's callable returned."""
    tensors: tuple[str, ...]
    """Names of the tensor subclasses that the weights must have."""

    @property
    def version_less(self) -> bool:
        """Is it what a callable of an old release returned, and no config object?"""
        return callable(self.config)


def resolve(recipes: Iterable[Recipe]) -> Quantization:
    """Build the config of the first recipe that the installed torchao has and accepts.

    Raises:
        UnavailableError: there is none.
    """
    reasons = []
    for recipe in recipes:
        try:
            return _resolved(recipe)
        except UnavailableError as error:
            reasons.append(str(error))
    raise UnavailableError("; ".join(dict.fromkeys(reasons)))


def _resolved(recipe: Recipe) -> Quantization:
    try:
        config = recipe.build()
    except REFUSALS as error:
        raise UnavailableError(one_line(error)) from error
    if config is None:
        raise UnavailableError(f"{recipe.symbol.partition(':')[2]} is not in this torchao")
    version = int(getattr(config, "version", 0))
    if version not in recipe.tensors:
        raise UnavailableError(f"config version {version} is not described")
    return Quantization(config, tuple(recipe.tensors[version]))


PayloadLimit = Callable[[Sequence[int]], int]
"""Shape of a weight -> the most bytes that its inner tensors may hold together."""


@dataclass(frozen=True)
class Scheme:
    """A named quantization."""

    name: str
    title: str
    recipes: tuple[Recipe, ...]
    """Newest first; the first that the installed torchao has and accepts is used."""
    payload: PayloadLimit
    sqnr: float | None
    """Lowest signal to quantization noise ratio of the output, in dB, against the bf16 model."""
    reduction: float
    """Largest ratio of file bytes to those of bf16, on subjects that are not tiny."""
    multiple: int = 1
    """`in_features` of a Linear must be a multiple of it, or the layer is left as it is."""
    rows: int = 1
    """`out_features` must be a multiple of it, likewise."""
    quantizing: Needs = field(default_factory=Needs)
    kernel: Needs = field(default_factory=Needs)
    """What a forward pass needs. Where only this is missing, the case is `storage only`."""
    storage: Callable[[Any, Any], Any] | None = None
    """`(bf16 weight, config) -> tensor subclass` by its own constructor, for machines that
    cannot quantize: every stage but output is judged."""
    whole_model: bool = False
    """The config selects modules by name, so `quantize_` gets `filter_fn=None`."""

    def covers(self, shape: Sequence[int]) -> bool:
        """Is the weight of a Linear quantized, or is it left because it cannot be divided?"""
        return shape[0] % self.rows == 0 and shape[-1] % self.multiple == 0

    @property
    def config_names(self) -> frozenset[str]:
        """Names of the torchao classes and callables that this scheme covers."""
        return frozenset(recipe.symbol.partition(":")[2] for recipe in self.recipes)

    def resolve(self) -> Quantization:
        """Build the quantization config for the installed torchao.

        Raises:
            UnavailableError: no recipe exists in, or is accepted by, the installed torchao.
        """
        return resolve(self.recipes)


@dataclass(frozen=True)
class Route:
    """How a scheme is applied to a model."""

    name: str
    title: str
    quantize: Callable[[Any, "Quantized"], Any]
    """`(bf16 model, how) -> quantized model`; the model given may be changed in place."""
    script: Source | None = None
    """The same as lines of a repro, which change or replace `model`."""
    loads: bool = False
    """It reads the bf16 checkpoint."""


@dataclass(frozen=True)
class Quantized:
    """What a route is asked to do."""

    scheme: Scheme
    quantization: Quantization
    base_directory: Path
    """The bf16 checkpoint (safetensors) of the same model, for routes that load."""
    storage: Callable[[Any, Any], Any] | None
    """Builds the tensor subclass where this machine cannot quantize; None to quantize."""
    device: Device
    fill: Callable[[Any], bool] | None = None
    """Gives a module its own weights, for a model that is still on the meta device, and says
    whether they are still to be quantized; None for a model that has them all."""


@dataclass(frozen=True)
class Format:
    """How a checkpoint lies on disk, with its save and its load."""

    name: str
    title: str
    save: Callable[[Any, Path, int], None]
    """`(model, empty directory, shard limit in bytes)`."""
    load: Callable[[Any, Mapping[str, Any], Path, Device], Any]
    """`(model class, model config, directory, device) -> model`."""
    read: Callable[[Path], Contents]
    """What the weight files hold, read without the library that wrote them."""
    sharded: bool = False
    splits_weights: bool = False
    """Inner tensors of one weight may lie in different shards."""
    shard_bytes: int | None = None
    """Its shard limit; None for the one that the suite computes, under which shards bite."""
    schemes: tuple[str, ...] | None = None
    """The schemes that cases combine it with; None for all of them."""
    extra: bool = False
    """Its cases run when globs or markers ask for them, not by default."""
    has_config: bool = True
    """A `config.json` is written beside the weights."""
    has_requires_grad: bool = True
    """False for state dicts: torch keeps the flag of the model that is assigned to."""
    script: FormatScript | None = None
    """The same as lines of a repro."""
