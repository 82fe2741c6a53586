"""What an axis value is. Nothing here imports torch: declaring a value must cost nothing."""

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance._compat import StrEnum
from conformance.axes.altering import Alteration
from conformance.axes.files import Contents
from conformance.axes.quantization import Quantization, Recipe, resolve
from conformance.axes.source import FormatScript, InputsScript, Source
from conformance.errors import UnavailableError

SEGMENT = re.compile(r"[a-z0-9_-]+")
"""What can be a segment of a case id."""


class Size(StrEnum):
    """How much of a model is built."""

    TINY = "tiny"
    """Fastest that still has every kind of layer."""
    SMALL = "small"
    """At least 10 M parameters, so that size ratios mean something."""
    FULL = "full"
    """The dimensions of a published model, with random weights."""
    PIPELINE = "pipeline"
    """A tiny transformer inside its whole pipeline: text encoders, scheduler, VAE."""


TO = "-to-"


class Device(StrEnum):
    """Where a case builds, quantizes and saves, and where it loads."""

    CPU = "cpu"
    CUDA = "cuda"
    CUDA_TO_CPU = "cuda-to-cpu"
    """Written on CUDA, read on the CPU."""
    CPU_TO_CUDA = "cpu-to-cuda"

    @property
    def writer(self) -> "Device":
        """Where a case builds, quantizes and saves."""
        return Device(self.partition(TO)[0])

    @property
    def reader(self) -> "Device":
        """Where it loads."""
        return Device(self.rpartition(TO)[2])

    @property
    def crossed(self) -> bool:
        """Does the checkpoint go from one device to another?"""
        return self.writer is not self.reader


@dataclass(frozen=True)
class Family:
    """A model architecture of diffusers: its class and inputs that fit a model config."""

    name: str
    model_class: str
    """Name of the class in the `diffusers` package, or `module:name` of one that is elsewhere."""
    inputs: Callable[..., dict[str, Any]]
    """`(model config, seed) -> keyword arguments of forward`, float tensors in bfloat16 on CPU.

    A family with models of published dimensions takes `short=True`, too: for those a sequence as
    short as the model takes."""
    script: InputsScript | None = None
    """The like for a repro: `model config -> lines before a call, its keywords`."""
    picked: str = "[0]"
    """What picks the sample, a tensor, out of what a call gives; source of a repro."""
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Defaults of the class, which a repro leaves out of its model config."""
    extra: bool = False
    """Its cases run when globs or markers ask for them, not by default."""

    def load_class(self) -> Any:
        """Import and return the model class.

        Raises:
            UnavailableError: the installed diffusers, or the module, has no such class.
        """
        module = importlib.import_module(self.module)
        try:
            return getattr(module, self.class_name)
        except AttributeError as error:
            version = getattr(module, "__version__", "")
            raise UnavailableError(
                f"{' '.join(filter(None, (self.module, version)))} has no {self.class_name}"
            ) from error

    @property
    def module(self) -> str:
        """The module that the class is imported from."""
        return self.model_class.rpartition(":")[0] or "diffusers"

    @property
    def class_name(self) -> str:
        """The name of the class in its module."""
        return self.model_class.rpartition(":")[2]


@dataclass(frozen=True)
class Pipeline:
    """What draws pictures with a transformer; its parts stand in `fixtures/pipelines/<name>.json`.

    A part of the whole pipeline is called by its name there: `transformer`, `vae`, `text_encoder`.
    """

    name: str
    pipeline_class: str
    """Name of the class in the `diffusers` package."""


@dataclass(frozen=True)
class Subject:
    """A family at a size, built from the JSON model config `fixtures/models/<name>.json`.

    One from outside the package gives its model config itself.
    """

    name: str
    family: Family
    size: Size
    parameters: int
    """Parameter count, checked on the meta device."""
    schemes: tuple[str, ...] | None = None
    """The schemes that cases combine it with; None for all of them."""
    formats: tuple[str, ...] | None = None
    """The formats, likewise; None for all that have no shard limit of their own."""
    built_as: str = ""
    """The subject whose model config it is built from; empty for its own."""
    pipeline: Pipeline | None = None
    """What the model draws pictures with; None for a model alone."""
    deeper: float = 0.0
    """By how many dB its output may be under a scheme's floor, which few layers were measured for:
    quantization noise adds up over hundreds of layers."""
    config: Mapping[str, Any] | None = field(default=None, hash=False)
    """The model config; None to read it from the file."""


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
        if self.capability and device is Device.CUDA and (has := _capability()) < self.capability:
            needed, there = (".".join(map(str, each)) for each in (self.capability, has))
            return f"needs CUDA compute capability {needed}, this GPU has {there}"
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"needs the package {package}"
        return self.probe() if self.probe else None


def _capability() -> tuple[int, int]:
    torch = importlib.import_module("torch")
    return tuple(torch.cuda.get_device_capability())


@dataclass(frozen=True)
class Likeness:
    """How much a picture is like another one; of a video, its frame that is least like."""

    psnr: float
    """Peak signal to noise ratio in dB, infinite for equal pictures."""
    ssim: float
    """Structural similarity, 1 for equal pictures."""


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
    seconds: float = 0.0
    """What quantizing a million weights takes one core, where that decides what can be done."""
    whole_model: bool = False
    """The config selects modules by name, so `quantize_` gets `filter_fn=None`."""
    likeness: Likeness | None = None
    """How much a tiny pipeline's picture must at least be like the unquantized one's.

    None for schemes that no picture is drawn with.
    """

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
    whole: bool = False
    """It takes and gives the whole pipeline of a subject that has one, and leaves the given one."""
    script: Source | None = None
    """The same as lines of a repro, which change or replace `model`."""
    loads: bool = False
    """It reads the bf16 checkpoint."""
    spares: Callable[[Any, str], bool] | None = None
    """`(model class, name of a weight)`: is it left as it is, though the scheme covers it?"""


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
    pipeline_directory: Path | None = None
    """The whole unquantized pipeline; None for a subject without one."""


@dataclass(frozen=True)
class Format:
    """How a checkpoint lies on disk, with its save and its load."""

    name: str
    title: str
    save: Callable[[Any, Path, int], None]
    """`(model, empty directory, shard limit in bytes)`."""
    load: Callable[[Any, Mapping[str, Any], Path, Device], Any]
    """`(model class, model config, directory, device) -> model`; see `refills`."""
    read: Callable[[Path], Contents]
    """What the weight files hold, read without the library that wrote them."""
    sharded: bool = False
    clones: bool = False
    """Saving a model of a route that `loads` holds every weight twice, as torchao flattens it."""
    splits_weights: bool = False
    """Inner tensors of one weight may lie in different shards."""
    shard_bytes: int | None = None
    """Its shard limit; None for the one that the suite computes, under which shards bite."""
    schemes: tuple[str, ...] | None = None
    """The schemes that cases combine it with; None for all of them."""
    extra: bool = False
    """Its cases run when globs or markers ask for them, not by default."""
    ahead: bool = False
    """Likewise, by a marker of its own: it exports or compiles, which takes minutes in all."""
    prepare: Callable[[Any], Any] | None = None
    """Makes of the quantized model what is saved and called, as `torch.compile` does. Its output
    must come back bit for bit, and be nearly that of the model; None for the model itself."""
    beside: int = 0
    """Bytes that a graph or its code may take beside the tensors, before `reduction` counts."""
    not_asked: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Checks that mean nothing for it, each with the reason."""
    refills: bool = False
    """Its load gets a model in place of the class: quantized alike, with other weights, which the
    checkpoint is read into."""
    executes: bool = False
    """Its load executes what is in the file: only the run that wrote it may read it."""
    holds_all: bool = False
    """Its files also hold the buffers that are in no state dict."""
    alters: Alteration | None = None
    """What is done to the quantized model before it is saved; None for nothing."""
    has_config: bool = True
    """A `config.json` is written beside the weights."""
    crosses: bool = False
    """It is asked, of tiny models, to load on another device than it was written on."""
    has_requires_grad: bool = True
    """False for state dicts: torch keeps the flag of the model that is assigned to."""
    within: str = ""
    """Where the model lies in a checkpoint of a whole pipeline: `transformer`.

    Empty where the model is saved alone. Otherwise the pipeline is what is saved and loaded.
    """
    script: FormatScript | None = None
    """The same as lines of a repro."""

    @property
    def usual(self) -> bool:
        """Does it run without being asked for?"""
        return not (self.extra or self.ahead)

    @property
    def whole(self) -> bool:
        """Does it save and load the whole pipeline of a subject?"""
        return bool(self.within)
