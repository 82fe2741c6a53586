"""Build and quantize once for all the cases that share it; hold one of each at a time."""

import copy
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from conformance.axes import models, pipelines
from conformance.axes.base import Device, Pipeline, Quantization, Quantized, Scheme, Subject
from conformance.case import Case
from conformance.errors import UnavailableError
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.held import Held, held
from conformance.roundtrip.ladder import HarnessError, Ladder, ours
from conformance.roundtrip.observe import digest, named_tensors, observe, plain
from conformance.roundtrip.oracle import save_oracle
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.pictures import draw_twice
from conformance.roundtrip.record import Output

BYTES_PER_PARAMETER = 6
"""Memory for the bf16 model, a bf16 copy that is quantized, and the model that is loaded back."""


@dataclass
class Base:
    """The unquantized model of a subject on a device."""

    subject: Subject
    device: Device
    seed: int
    directory: Path
    model: Any
    inputs: Mapping[str, Any]
    output: torch.Tensor
    pipeline: Any = None
    """The pipeline that the model works in; None for a subject without one."""
    picture: torch.Tensor | None = None
    """What it draws: (frames, height, width, 3)."""

    @cached_property
    def checkpoint(self) -> Path:
        """The model saved as bf16 safetensors, for routes that load."""
        if self.whole is not None:
            return self.whole / "transformer"
        self.model.save_pretrained(self.directory)
        return self.directory

    @cached_property
    def whole(self) -> Path | None:
        """The pipeline saved likewise; None where there is none."""
        if self.pipeline is None:
            return None
        self.pipeline.save_pretrained(self.directory)
        return self.directory

    @cached_property
    def linears(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights of all Linears by key."""
        return {
            f"{name}.weight": tuple(module.weight.shape)
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }


@dataclass(frozen=True)
class Product:
    """A quantized model and everything that is known of it before it is saved."""

    base: Base
    model: Any
    facts: ModelFacts
    quantization: Quantization
    caller: tuple[Any, Any]
    """The caller's config before and after quantizing."""
    storage_only: str
    """Why the output is not judged; empty when it is."""
    output: torch.Tensor | None
    directory: Path
    """Where the oracle lies."""
    pipeline: Any = None
    """The pipeline with the quantized model in it."""
    picture: torch.Tensor | None = None
    """What it draws; None without a pipeline, or where the output is not judged."""

    @property
    def held(self) -> Held:
        """What a format is given to save."""
        return Held(self.model, self.pipeline)


class Workshop:
    """Makes models for the cases that it is given, best in the order of their groups."""

    def __init__(self, directory: Path, seed: int = 0) -> None:
        self.directory = directory
        self.seed = seed
        self._base: Base | None = None
        self._product: tuple[str, Product] | None = None

    def product(self, case: Case, ladder: Ladder) -> Product:
        """Return the quantized model of the case; the last one is kept.

        Raises:
            NoResultError, BrokenError: see `Ladder.stage`.
        """
        if case.device.crossed:
            with ladder.stage(Stage.RESOLVE):
                require_device(case.device.reader)
        if self._product is None or self._product[0] != case.quantized:
            self._discard()
            self._product = (case.quantized, self._make(case, ladder))
        return self._product[1]

    def _discard(self) -> None:
        """Free the quantized model before the next one is made, and its oracle on disk."""
        if self._product is not None:
            shutil.rmtree(self._product[1].directory, ignore_errors=True)
        self._product = None

    def base(self, case: Case, ladder: Ladder) -> Base:
        """Return the unquantized model of the case; the last one is kept.

        Raises:
            NoResultError: see `Ladder.stage`.
        """
        with ladder.stage(Stage.BUILD):
            require_device(case.device.writer)
            require_memory(case.subject)
            return self._base_of(case)

    def release(self) -> None:
        """Let go of both models."""
        self._discard()
        self._base = None

    def _make(self, case: Case, ladder: Ladder) -> Product:
        with ladder.stage(Stage.RESOLVE):
            require_device(case.device.writer)
            quantization = case.scheme.resolve()
            storage, storage_only = how_far(case.scheme, case.device.writer)
        base = self.base(case, ladder)
        with ladder.stage(Stage.RESOLVE):
            require_targets(case, base)
        how = Quantized(
            case.scheme,
            quantization,
            base.checkpoint,
            storage,
            case.device.writer,
            base.whole,
        )
        before = plain(quantization.config)
        with ladder.stage(Stage.QUANTIZE):
            made = quantized(case, base, how)
            return self._examine(case, base, made, how, before, storage_only)

    def _base_of(self, case: Case) -> Base:
        subject, device = case.subject, case.device.writer
        if self._base is None or (self._base.subject, self._base.device) != (subject, device):
            self._base = None
            model = models.build(subject, self.seed).to(str(device))
            inputs = models.inputs(subject, self.seed)
            directory = self.directory / f"{subject.name}.{device}"
            shutil.rmtree(directory, ignore_errors=True)
            output = models.forward(model, inputs)
            base = Base(subject, device, self.seed, directory, model, inputs, output)
            self._base = base if subject.pipeline is None else with_pipeline(base, subject.pipeline)
        return self._base

    def _examine(
        self, case: Case, base: Base, made: Held, how: Quantized, before: Any, storage_only: str
    ) -> Product:
        facts = observe(made.model)
        output = None if storage_only else twice(made.model, base.inputs)
        with ours():
            not_vacuous(facts, output, base.output)
        picture = None if storage_only else picture_of(base, made)
        with ours():
            directory = self.directory / case.quantized
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            shown = {
                "output:reference": base.output,
                "output:quantized": output,
                "picture:reference": base.picture,
                "picture:quantized": picture,
            }
            save_oracle(directory, named_tensors(made.model), shown)
        after = plain(how.quantization.config)
        return Product(
            base,
            made.model,
            facts,
            how.quantization,
            (before, after),
            storage_only,
            output,
            directory,
            made.pipeline,
            picture,
        )


def with_pipeline(base: Base, pipeline: Pipeline) -> Base:
    """Put the unquantized model into a pipeline, and let it draw."""
    whole = pipelines.assemble(pipeline, base.model, base.seed).to(str(base.device))
    picture = draw_twice(pipeline, whole, base.seed)
    return replace(base, pipeline=whole, picture=picture)


def quantized(case: Case, base: Base, how: Quantized) -> Held:
    """Quantize by the case's route, and hand the model to a pipeline where there is one."""
    given = Held(base.model if case.route.whole else copy.deepcopy(base.model), base.pipeline)
    made = held(case.route.quantize(given.given(case.route), how), case.route)
    return handed(case, made, how.pipeline_directory, case.device.writer)


def handed(case: Case, made: Held, directory: Path | None, device: Device) -> Held:
    """Hand a model to the pipeline that lies in a directory, unless it is in one or needs none."""
    pipeline = case.subject.pipeline
    if pipeline is None or directory is None:
        return made
    if made.pipeline is not None:
        return Held(made.model, pipelines.quiet(made.pipeline))
    return Held(made.model, pipelines.hand(pipeline, directory, made.model, device))


def picture_of(base: Base, made: Held) -> torch.Tensor | None:
    """Draw with the quantized model.

    Raises:
        HarnessError: the picture cannot be compared, or equals the unquantized pipeline's.
    """
    if base.picture is None or base.subject.pipeline is None:
        return None
    picture = draw_twice(base.subject.pipeline, made.pipeline, base.seed)
    if digest(picture) == digest(base.picture):
        raise HarnessError("the quantized pipeline's picture equals the unquantized pipeline's")
    return picture


def require_device(device: Device) -> None:
    """Raise UnavailableError where there is no such device."""
    if device is Device.CUDA and not torch.cuda.is_available():
        raise UnavailableError("no CUDA")


def require_memory(subject: Subject) -> None:
    """Raise UnavailableError where the models of a case would not fit into memory."""
    import psutil

    needed = subject.parameters * BYTES_PER_PARAMETER
    available = psutil.virtual_memory().available
    if needed > available:
        raise UnavailableError(
            f"needs {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are available"
        )


def require_targets(case: Case, base: Base) -> None:
    """Raise UnavailableError where the scheme can divide no layer of the model."""
    if not any(case.scheme.covers(shape) for shape in base.linears.values()):
        raise UnavailableError("the scheme's blocks divide no Linear of this model")


def how_far(scheme: Scheme, device: Device) -> tuple[Any, str]:
    """Return the storage builder if one is needed, and why the output cannot be judged.

    Raises:
        UnavailableError: neither quantizing nor building the storage is possible here.
    """
    missing = scheme.quantizing.missing(device)
    if missing is None:
        return None, scheme.kernel.missing(device) or ""
    if scheme.storage is None:
        raise UnavailableError(missing)
    return scheme.storage, missing


def availability(scheme: Scheme, device: Device) -> str:
    """Say what a case of this scheme can give here: `runs`, or why it cannot give everything."""
    try:
        require_device(device.writer)
        require_device(device.reader)
        scheme.resolve()
        _, storage_only = how_far(scheme, device.writer)
        storage_only = storage_only or scheme.kernel.missing(device.reader) or ""
    except UnavailableError as error:
        return f"no result: {error}"
    return f"storage only: {storage_only}" if storage_only else "runs"


def twice(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Call the model twice and return the output.

    Raises:
        HarnessError: the two outputs differ, so no comparison of outputs would mean anything.
    """
    first, second = models.forward(model, inputs), models.forward(model, inputs)
    if digest(first) != digest(second):
        raise HarnessError("the same model gave two different outputs for the same inputs")
    return first


def not_vacuous(facts: ModelFacts, output: torch.Tensor | None, reference: torch.Tensor) -> None:
    """Raise HarnessError when there would be nothing to compare."""
    if not facts.quantized:
        raise HarnessError("no tensor was quantized")
    if any(not inner.digest for _, _, inner in facts.leaves()):
        raise HarnessError("the model to be saved holds tensors on the meta device")
    if output is not None and digest(output) == digest(reference):
        raise HarnessError("the quantized model's output equals the unquantized model's")


def output_facts(output: torch.Tensor) -> Output:
    """Return the facts of an output."""
    return Output(digest(output), str(output.dtype), tuple(output.shape))


def sqnr(reference: torch.Tensor, output: torch.Tensor) -> float:
    """Return the signal to quantization noise ratio in dB; infinite for equal tensors."""
    signal, noisy = reference.double().cpu(), output.double().cpu()
    noise = float(((signal - noisy) ** 2).sum())
    if noise == 0:
        return math.inf
    power = float((signal**2).sum())
    return 10 * math.log10(power / noise) if power and math.isfinite(noise) else -math.inf


def shard_limit(facts: ModelFacts) -> int:
    """Return a shard limit under which the largest quantized inner tensor stands alone.

    Its scale then lies in another shard, so that the shards of a weight must be put together.
    """
    return (
        max(inner.bytes for each in facts.quantized.values() for inner in each.inner.values()) - 1
    )
