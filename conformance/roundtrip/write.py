"""Write a checkpoint together with the record of what must come back."""

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from conformance.axes.base import Format
from conformance.axes.files import Contents
from conformance.case import Case
from conformance.environment import observed_versions
from conformance.roundtrip import checks
from conformance.roundtrip.altered import altered
from conformance.roundtrip.checks.payload import most_bytes
from conformance.roundtrip.checks.reduction import bf16_bytes
from conformance.roundtrip.evidence import Evidence, Side
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.footprint import read_since, size_of
from conformance.roundtrip.ladder import HarnessError, Ladder, file_sizes, ours
from conformance.roundtrip.outcome import Finding, Stage
from conformance.roundtrip.pictures import picture_facts
from conformance.roundtrip.record import ORACLE, PIPELINE, Output, Record
from conformance.roundtrip.workshop import Product, Workshop, output_facts, shard_limit

CHECKPOINT = "checkpoint"


class NothingWrittenError(Exception):
    """A save returned and left no checkpoint."""


@dataclass(frozen=True)
class Written:
    """A checkpoint on disk, its record, and what the writer's checks say."""

    record: Record
    product: Product
    findings: list[Finding]
    payload_limit: int
    """The most bytes of tensor data that the scheme allows."""

    @property
    def measures(self) -> dict[str, float]:
        """Sizes, for the results."""
        return {
            "payload_bytes": self.record.payload_bytes,
            "buffer_bytes": self.record.facts.unsaved_bytes,
            "payload_limit_bytes": self.payload_limit,
            "file_bytes": sum(self.record.file_bytes.values()),
            "bf16_bytes": bf16_bytes(self.record),
            "quantized_tensors": len(self.record.facts.quantized),
            "inner_tensors": sum(1 for _ in self.record.facts.leaves()),
            **layer_measures(self.product.reference.layers),
        }


def layer_measures(layers: Mapping[str, float]) -> dict[str, float]:
    """Return the worst and the middle SQNR of the layers, in dB; nothing where there are none."""
    if not layers:
        return {}
    return {"worst_layer_db": min(layers.values()), "median_layer_db": median(layers.values())}


def write(case: Case, workshop: Workshop, directory: Path, ladder: Ladder) -> Written:
    """Quantize, save to `directory/checkpoint`, and put the record beside it.

    Raises:
        BrokenError: a library under test failed.
        NoResultError: the case cannot be measured.
    """
    product = _to_be_saved(case, workshop, ladder)
    checkpoint = directory / CHECKPOINT
    checkpoint.mkdir(parents=True)
    with ladder.stage(Stage.SAVE, checkpoint), _saving(ladder, product, checkpoint):
        given, output = prepared(case.format, product)
        case.format.save(given, checkpoint, shard_limit(case.format, product.facts))
    with ladder.stage(Stage.INSPECT):
        with ladder.part("inspect", size_of(checkpoint), read_since()):
            contents = inspect(case, checkpoint, product.facts)
        record = _record(case, product, output, contents, checkpoint, workshop.seed)
        with ours():
            _put_beside(record, product, directory)
            findings = checks.ask(_evidence(case, record, product), Side.WRITER)
        return Written(record, product, findings, most_bytes(record.facts, case.scheme.payload))


def prepared(form: Format, product: Product) -> tuple[Any, Output | None]:
    """Return what is saved, and the output that must come back.

    Raises:
        HarnessError: what was prepared does not agree with itself.
    """
    given = product.held.given(form)
    if form.prepare is None:
        return given, None if product.output is None else output_facts(product.output)
    made = form.prepare(given)
    return made, output_facts(product.base.output_of(made))


def _to_be_saved(case: Case, workshop: Workshop, ladder: Ladder) -> Product:
    """Return the quantized model, or what the format makes of another one that is equal to it."""
    if case.format.alters is None:
        return workshop.product(case, ladder)
    place = workshop.directory / "altered"
    return altered(case, workshop.another(case, ladder), case.format.alters, place, ladder)


def _saving(ladder: Ladder, product: Product, checkpoint: Path) -> AbstractContextManager[None]:
    total = sum(each.bytes for each in product.facts.saved.values())
    return ladder.part("save", total, partial(size_of, checkpoint))


def _put_beside(record: Record, product: Product, directory: Path) -> None:
    record.save(directory)
    if (product.directory / ORACLE).exists():
        shutil.copyfile(product.directory / ORACLE, directory / ORACLE)
    if product.base.whole is not None:
        others = shutil.ignore_patterns("transformer")
        shutil.copytree(product.base.whole, directory / PIPELINE, ignore=others)


def _not_spared(case: Case, linears: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the Linears without those that the route leaves as they are."""
    spares = case.route.spares
    if spares is None:
        return dict(linears)
    model_class = case.subject.family.load_class()
    return {key: shape for key, shape in linears.items() if not spares(model_class, key)}


def _evidence(case: Case, record: Record, product: Product) -> Evidence:
    return Evidence(
        case=case,
        record=record,
        tensors=product.quantization.tensors,
        linears=_not_spared(case, product.base.linears),
        caller=product.caller,
        layers=product.reference.layers,
    )


def inspect(case: Case, checkpoint: Path, facts: ModelFacts) -> Contents:
    """Read the files back without the library that wrote them.

    Raises:
        NothingWrittenError: there are no weights, or no `config.json` where there must be one.
        HarnessError: a sharded case was not really split.
    """
    contents = case.format.read(checkpoint)
    if not contents.pieces:
        raise NothingWrittenError("the save returned without an error and wrote no weights")
    if case.format.has_config and not config_file(case, checkpoint).exists():
        raise NothingWrittenError("the save returned without an error and wrote no config.json")
    if case.format.sharded:
        _shards_bite(case, contents, facts)
    return contents


def _shards_bite(case: Case, contents: Contents, facts: ModelFacts) -> None:
    shards: dict[str, set[str]] = {}
    for piece in contents.pieces:
        file, _, name = piece.name.partition("/")
        shards.setdefault(name, set()).add(file)
    if len({file for files in shards.values() for file in files}) < 2:
        raise HarnessError("a sharded case wrote a single shard")
    split = [len(_files_of(key, shards)) for key in facts.quantized]
    # Zero: the weight is not in the files under its inner tensors' names, which `payload` tells.
    if case.format.splits_weights and max(split) == 1:
        raise HarnessError("no quantized weight has its inner tensors in two shards")


def _files_of(key: str, shards: Mapping[str, set[str]]) -> set[str]:
    """Return the shards that hold inner tensors of a weight."""
    module, _, weight = key.rpartition(".")
    # torchao 0.14 wrote `module.weight:scale`, later releases write `module._weight_scale`.
    prefixes = (f"{module}._{weight}_", f"{key}:")
    return {file for name in shards if name.startswith(prefixes) for file in shards[name]}


def _record(
    case: Case,
    product: Product,
    output: Output | None,
    contents: Contents,
    checkpoint: Path,
    seed: int,
) -> Record:
    return Record(
        case=case.id,
        seed=seed,
        facts=product.facts,
        config=read_config(case, checkpoint),
        digests=contents.digests,
        payload_bytes=contents.payload,
        file_bytes=file_sizes(checkpoint),
        output=output,
        reference=output_facts(product.reference.output),
        versions=observed_versions(),
        pictures=() if product.picture is None else picture_facts(product.picture),
    )


def read_config(case: Case, checkpoint: Path) -> Mapping[str, Any] | None:
    """Return `config.json` of a checkpoint whose format has one."""
    if not case.format.has_config:
        return None
    config: dict[str, Any] = json.loads(config_file(case, checkpoint).read_text(encoding="utf-8"))
    return config


def config_file(case: Case, checkpoint: Path) -> Path:
    """Return where the model's `config.json` lies."""
    return checkpoint / case.format.within / "config.json"
