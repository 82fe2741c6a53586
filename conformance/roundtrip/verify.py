"""Verify a record against what a reader gets."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Quantized
from conformance.case import Case
from conformance.roundtrip import checks
from conformance.roundtrip.calls import calling
from conformance.roundtrip.closeness import cosine, sqnr
from conformance.roundtrip.drawing import handed
from conformance.roundtrip.evidence import Closeness, Evidence, Resaved, Side
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.footprint import loaded_since, mapped_since
from conformance.roundtrip.held import Held, held
from conformance.roundtrip.ladder import BrokenError, Ladder, NoResultError
from conformance.roundtrip.observe import leaves_of, named_tensors, observe
from conformance.roundtrip.oracle import difference, oracle_tensor
from conformance.roundtrip.outcome import Finding, Stage
from conformance.roundtrip.pictures import draw_twice, keep_pictures, likeness, picture_facts
from conformance.roundtrip.possible import how_far
from conformance.roundtrip.record import PIPELINE, Output, Record
from conformance.roundtrip.workshop import output_facts, shard_limit, twice
from conformance.roundtrip.write import CHECKPOINT, read_config

OTHER_SEED = 1
ROUNDS = 2
"""Saves after the first; with the first one they make three."""


@dataclass(frozen=True)
class Reading:
    """What one reader got, and what the checks say."""

    findings: list[Finding]
    measures: dict[str, float]
    """`sqnr_db`, and where there are pictures `psnr_db` and `ssim`."""
    broken: BrokenError | NoResultError | None = None
    """Why the reloaded model gave no output, or none that can be trusted."""


def read(case: Case, directory: Path, ladder: Ladder, total: int = 0) -> Held:
    """Load the checkpoint; `total` is its payload, for whoever looks on.

    Raises:
        BrokenError: the loader failed.
    """
    with ladder.stage(Stage.LOAD), ladder.part("load", total, loaded_since()):
        return load(case, directory / CHECKPOINT)


def load(case: Case, checkpoint: Path) -> Held:
    """Load a checkpoint the way of the case's format."""
    config = models.model_config(case.subject)
    with default_dtype_kept():
        got = case.format.load(_target(case), config, checkpoint, case.device.reader)
    return held(got, case.format)


@contextmanager
def default_dtype_kept() -> Iterator[None]:
    """Give torch its default dtype back, however the block ends.

    A load of diffusers that fails while flashpack assigns weights leaves the dtype that was asked
    for, and the next case of this process would build its model in it.
    """
    before = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _target(case: Case) -> Any:
    """Return what the format's loader is given: a class, or a model that it fills."""
    subject = case.subject
    if case.format.whole and subject.pipeline is not None:
        return pipelines.load_class(subject.pipeline)
    return twin(case) if case.format.refills else subject.family.load_class()


def twin(case: Case) -> Any:
    """Return a model of other weights, quantized like the one that was saved.

    Its weights are other ones so that a loader that leaves them alone is seen.
    """
    device = case.device.reader
    model = models.build(case.subject, seed=OTHER_SEED).to(str(device))
    storage, _ = how_far(case.scheme, device)
    how = Quantized(case.scheme, case.scheme.resolve(), Path(), storage, device)
    return registry.routes()["quantize_"].quantize(model, how).eval()


def verify(case: Case, directory: Path, ladder: Ladder, got: Held, record: Record) -> Reading:
    """Compare a model that was read with the record that lies beside its checkpoint.

    Raises:
        BrokenError: the reloaded model cannot be looked at.
    """
    model = got.model
    with ladder.stage(Stage.STRUCTURE):
        payload = record.payload_bytes
        with ladder.part("bits", payload, mapped_since()):
            facts = observe(model)
    evidence = Evidence(
        case=case,
        record=record,
        reloaded=facts,
        explain=lambda path: explain(directory, model, None, path),
    )
    broken: BrokenError | NoResultError | None = None
    if record.output is not None and not on_meta(facts) and not unread(case):
        try:
            with ladder.stage(Stage.OUTPUT), calling(ladder, "output", model):
                evidence = with_output(evidence, case, directory, model)
                if record.pictures:
                    evidence = with_picture(evidence, case, directory, got)
        except (BrokenError, NoResultError) as error:
            broken = error  # what the checks see without an output may be the cause
    return Reading(checks.ask(evidence, Side.READER), _measures(evidence), broken)


def _measures(evidence: Evidence) -> dict[str, float]:
    alike = evidence.likeness
    numbers = {} if evidence.sqnr is None else {"sqnr_db": evidence.sqnr}
    if (eager := evidence.eager) is not None:
        numbers |= {"eager_cosine": eager.cosine, "eager_sqnr_db": eager.sqnr}
    return numbers | ({} if alike is None else {"psnr_db": alike.psnr, "ssim": alike.ssim})


def unread(case: Case) -> str:
    """Say why the reader cannot call the model, where it is on another device; else nothing."""
    missing = case.scheme.kernel.missing(case.device.reader) if case.device.crossed else None
    return f"on {case.device.reader}: {missing}" if missing else ""


def on_meta(facts: ModelFacts) -> bool:
    """Does a tensor lack its data? Calling such a model computes with stray memory."""
    return any(inner.device == "meta" for _, _, inner in facts.leaves())


def with_output(evidence: Evidence, case: Case, directory: Path, model: Any) -> Evidence:
    """Call the reloaded model and add what came out."""
    record = evidence.record
    inputs = models.inputs(case.subject, record.seed)
    output = models.forward(model, inputs)
    crossed = case.device.crossed
    if crossed or output_facts(output) != record.output:
        # A difference counts only if the model agrees with itself.
        output = twice(model, inputs)
    reference = oracle_tensor(directory, "output:reference", output)
    eager = oracle_tensor(directory, "output:quantized", output) if case.format.prepare else None
    return replace(
        evidence,
        # Another device computes otherwise: there the distance to the unquantized model counts.
        output=None if crossed else output_facts(output),
        sqnr=None if reference is None else sqnr(reference, output),
        eager=None if eager is None else _closeness(reference, eager, output),
        explain=lambda path: explain(directory, model, output, path),
    )


def _closeness(reference: Any, eager: Any, output: Any) -> Closeness:
    return Closeness(cosine(eager, output), sqnr(eager, output), sqnr(reference, output))


def with_picture(evidence: Evidence, case: Case, directory: Path, got: Held) -> Evidence:
    """Let the pipeline draw with the reloaded model and add what it drew."""
    record, pipeline = evidence.record, case.subject.pipeline
    if pipeline is None:
        return evidence
    whole = handed(case, got, directory / PIPELINE, case.device.reader).pipeline
    picture = pipelines.draw(pipeline, whole, record.seed)
    if picture_facts(picture) != record.pictures:
        # A difference counts only if the pipeline agrees with itself.
        picture = draw_twice(pipeline, whole, record.seed)
    reference = oracle_tensor(directory, "picture:reference", picture)
    quantized = oracle_tensor(directory, "picture:quantized", picture)
    keep_pictures(directory, reference=reference, quantized=quantized, reloaded=picture)
    return replace(
        evidence,
        pictures=() if case.device.crossed else picture_facts(picture),
        likeness=None if reference is None else likeness(reference, picture),
        explain=lambda path: (
            difference(quantized, picture)
            if path.startswith("picture:")
            else evidence.explain(path)
        ),
    )


@cache
def reference_output(subject: str, device: str, seed: int) -> Output:
    """Return the facts of the output of a subject's unquantized model.

    Another torch may compute otherwise, and then a difference says nothing about a checkpoint.
    """
    found = registry.subjects()[subject]
    model = models.build(found, seed).to(device)
    return output_facts(models.forward(model, models.inputs(found, seed)))


def explain(directory: Path, model: Any, output: torch.Tensor | None, path: str) -> str:
    """Say where and by how much a tensor or the output differs from the record's."""
    if path.startswith("output:"):
        got = output
    else:
        key, _, name = path.rpartition("/")
        got = dict(leaves_of(named_tensors(model)[key][1]))[name]
    if got is None:
        return ""
    wanted = oracle_tensor(directory, path, got)
    return "" if wanted is None else difference(wanted, got)


def resave(case: Case, directory: Path, ladder: Ladder, got: Held, record: Record) -> list[Finding]:
    """Save what was read, read that and save it once more; compare with the first save.

    Raises:
        BrokenError: a later save or load failed.
    """
    if "resave" in case.format.not_asked:
        return []
    with ladder.stage(Stage.RESAVE, disk=directory):
        rounds = tuple(_rounds(case, directory, got, record))
    return checks.ask(Evidence(case=case, record=record, resaved=rounds), Side.RESAVER)


def _rounds(case: Case, directory: Path, got: Held, record: Record) -> Iterator[Resaved]:
    limit = shard_limit(case.format, record.facts)
    for number in range(2, 2 + ROUNDS):
        target = directory / f"{CHECKPOINT}-{number}"
        target.mkdir()
        case.format.save(got.given(case.format), target, limit)
        yield Resaved(case.format.read(target).digests, read_config(case, target))
        if number <= ROUNDS:
            got = load(case, target)
        shutil.rmtree(target)
