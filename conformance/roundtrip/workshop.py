"""Build and quantize once for all the cases that share it; hold one of each at a time."""

import copy
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import torch

from conformance.axes import models
from conformance.axes.base import Device, Format, Quantized, Subject
from conformance.axes.quantization import Quantization
from conformance.case import Case
from conformance.errors import UnavailableError
from conformance.roundtrip.budget import budget, require_room
from conformance.roundtrip.calls import BF16, calling, observed
from conformance.roundtrip.drawing import Drawn, handed, picture_of, put_into
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.footprint import size_of
from conformance.roundtrip.gpus import give_back
from conformance.roundtrip.held import Held, held
from conformance.roundtrip.ladder import HarnessError, Ladder, ours
from conformance.roundtrip.observe import digest, named_tensors, plain
from conformance.roundtrip.oracle import save_oracle
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.possible import (
    how_far,
    require_device,
    require_memory,
    require_time,
)
from conformance.roundtrip.record import Output
from conformance.roundtrip.streamed import Reference, StreamedBase, is_streamed


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
    drawn: Drawn | None = None
    """The pipeline that the model works in; None for a subject without one."""

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
        if self.drawn is None:
            return None
        self.drawn.whole.save_pretrained(self.directory)
        return self.directory

    @cached_property
    def linears(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights of all Linears by key."""
        return {
            f"{name}.weight": tuple(module.weight.shape)
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }

    fill = None
    """The model has its weights."""
    taken = 0
    """Every weight is quantized."""

    def done(self) -> int:
        """Return 0: nobody waits for it."""
        return 0

    def unquantized(self) -> Any:
        """Return a copy that a route may change."""
        return copy.deepcopy(self.model)

    def complete(self, model: Any) -> Any:
        """Return the model: nothing is left to do."""
        return model

    def compare(self, _model: Any, *, judged: bool) -> Reference:  # noqa: ARG002
        """Return the output of the unquantized model; it is compared whole."""
        return Reference(self.output)

    def output_of(self, model: Any) -> torch.Tensor:
        """Call a quantized model.

        Raises:
            HarnessError: it does not agree with itself.
        """
        return twice(model, self.inputs)


AnyBase: TypeAlias = Base | StreamedBase


@dataclass(frozen=True)
class Product:
    """A quantized model and everything that is known of it before it is saved."""

    base: AnyBase
    model: Any
    """None where it was put away."""
    reference: Reference
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
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.seed = seed
        self._base: AnyBase | None = None
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
        elif self._product[1].model is None:
            self._product = (case.quantized, self._again(case, self._product[1], ladder))
        return self._product[1]

    def another(self, case: Case, ladder: Ladder) -> Product:
        """Return the quantized model of the case made once more, for who changes it.

        Raises:
            NoResultError, BrokenError: see `Ladder.stage`.
        """
        return self._again(case, self.product(case, ladder), ladder)

    def put_away(self) -> None:
        """Let go of the quantized model and keep what is known of it: it can be made again."""
        if self._product is not None:
            # No name here holds the model: one in a cycle would outlive the collection.
            self._product = (self._product[0], replace(self._product[1], model=None))
        give_back()

    def _discard(self) -> None:
        """Free the quantized model before the next one is made, and its oracle on disk."""
        if self._product is not None:
            shutil.rmtree(self._product[1].directory, ignore_errors=True)
        self._product = None

    def base(self, case: Case, ladder: Ladder) -> AnyBase:
        """Return the unquantized model of the case; the last one is kept.

        Raises:
            NoResultError: see `Ladder.stage`.
        """
        with ladder.stage(Stage.BUILD):
            require_device(case.device.writer)
            if is_streamed(case.subject):
                require_room(budget(case), self.directory, case.device.writer)
            else:
                require_memory(case.subject)
            with ladder.part("build"):
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
            require_time(case)
        base = self.base(case, ladder)
        with ladder.stage(Stage.RESOLVE):
            require_targets(case, base)
        how = how_to(case, base, quantization, storage, ladder)
        before = plain(quantization.config)
        with ladder.stage(Stage.QUANTIZE):
            made = quantized(case, base, how, ladder)
            return self._examine(case, base, made, how, before, storage_only, ladder)

    def _again(self, case: Case, product: Product, ladder: Ladder) -> Product:
        """Make a model that was put away, and see that it is the same one."""
        base = self.base(case, ladder)
        storage, _ = how_far(case.scheme, case.device.writer)
        how = how_to(case, base, product.quantization, storage, ladder)
        with ladder.stage(Stage.QUANTIZE):
            model = quantized(case, base, how, ladder).model
            if observed(model, ladder) != product.facts:
                raise HarnessError("the model was quantized twice and came out otherwise")
            return replace(product, model=model)

    def _base_of(self, case: Case) -> AnyBase:
        subject, device = case.subject, case.device.writer
        if self._base is None or (self._base.subject, self._base.device) != (subject, device):
            self._base = None
            directory = self.directory / f"{subject.name}.{device}"
            shutil.rmtree(directory, ignore_errors=True)
            make = StreamedBase if is_streamed(subject) else whole_base
            self._base = make(subject, device, self.seed, directory)
        return self._base

    def _examine(
        self,
        case: Case,
        base: AnyBase,
        made: Held,
        how: Quantized,
        before: Any,
        storage_only: str,
        ladder: Ladder,
    ) -> Product:
        model = made.model
        facts = observed(model, ladder)
        with calling(ladder, "reference", model):
            reference = base.compare(model, judged=not storage_only)
        with calling(ladder, "forward", model):
            output = None if storage_only else base.output_of(model)
        with ours():
            not_vacuous(facts, output, reference.output)
        pictures = {} if storage_only else pictures_of(base, made)
        directory = self.directory / case.quantized
        with ours():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            outputs = {"output:reference": reference.output, "output:quantized": output, **pictures}
            save_oracle(directory, named_tensors(model), outputs)
        return Product(
            base=base,
            model=model,
            reference=reference,
            facts=facts,
            quantization=how.quantization,
            caller=(before, plain(how.quantization.config)),
            storage_only=storage_only,
            output=output,
            directory=directory,
            pipeline=made.pipeline,
            picture=pictures.get("picture:quantized"),
        )


def whole_base(subject: Subject, device: Device, seed: int, directory: Path) -> Base:
    """Build the model of a subject and call it."""
    model = models.build(subject, seed).to(str(device))
    inputs = models.inputs(subject, seed)
    output, pipeline = models.forward(model, inputs), subject.pipeline
    drawn = None if pipeline is None else put_into(pipeline, model, seed, device)
    return Base(subject, device, seed, directory, model, inputs, output, drawn)


def how_to(
    case: Case, base: AnyBase, quantization: Quantization, storage: Any, ladder: Ladder
) -> Quantized:
    """Say what the case's route is asked to do; what it loads is written first.

    Raises:
        NoResultError: it cannot be written.
    """
    device = case.device.writer
    with ladder.stage(Stage.BUILD):
        directory = written(case, base, ladder) if case.route.loads else base.directory
        whole = base.whole
    return Quantized(case.scheme, quantization, directory, storage, device, base.fill, whole)


def written(case: Case, base: AnyBase, ladder: Ladder) -> Path:
    """Write the unquantized model, and return where."""
    total = BF16 * case.subject.parameters
    with ladder.part("bf16", total, partial(size_of, base.directory)):
        return base.checkpoint


def quantized(case: Case, base: AnyBase, how: Quantized, ladder: Ladder) -> Held:
    """Return a quantized model, in a pipeline where the subject has one."""
    with ladder.part("quantize", BF16 * case.subject.parameters, base.done):
        made = held(case.route.quantize(given(case, base), how), case.route)
        made = replace(made, model=base.complete(made.model))
    if ladder.footprint is not None:
        really = case.subject.parameters - base.taken
        ladder.footprint.measures["quantize.weights"] = float(really)
    return handed(case, made, how.pipeline_directory, case.device.writer)


def given(case: Case, base: AnyBase) -> Any:
    """Return what a route begins with: a model of its own, or the pipeline, which it leaves."""
    if case.route.whole and base.drawn is not None:
        return base.drawn.whole
    return base.unquantized()


def pictures_of(base: AnyBase, made: Held) -> dict[str, torch.Tensor]:
    """Return what the pipeline draws without and with quantization; nothing without a pipeline.

    Raises:
        HarnessError: the pictures cannot be compared.
    """
    pipeline, drawn = base.subject.pipeline, base.drawn
    if pipeline is None or drawn is None:
        return {}
    picture = picture_of(pipeline, made.pipeline, base.seed, drawn.picture)
    return {"picture:reference": drawn.picture, "picture:quantized": picture}


def require_targets(case: Case, base: AnyBase) -> None:
    """Raise UnavailableError where the scheme can divide no layer of the model."""
    if not any(case.scheme.covers(shape) for shape in base.linears.values()):
        raise UnavailableError("the scheme's blocks divide no Linear of this model")


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


def shard_limit(form: Format, facts: ModelFacts) -> int:
    """Return the format's shard limit, or one under which the largest inner tensor stands alone.

    Its scale then lies in another shard, so that the shards of a weight must be put together.
    """
    split = facts.quantized or facts.saved  # nothing is quantized where a format dequantizes
    return form.shard_bytes or (
        max(inner.bytes for each in split.values() for inner in each.inner.values()) - 1
    )
