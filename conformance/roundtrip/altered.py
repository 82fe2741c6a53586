"""A quantized model that a format alters before it saves it: see `axes/altering.py`."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from conformance.axes import models
from conformance.axes.altering import Alteration
from conformance.case import Case
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.ladder import HarnessError, Ladder, ours
from conformance.roundtrip.observe import digest, named_tensors, observe
from conformance.roundtrip.oracle import save_oracle
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.streamed import Reference
from conformance.roundtrip.workshop import Product, twice


def altered(
    case: Case, product: Product, alteration: Alteration, directory: Path, ladder: Ladder
) -> Product:
    """Alter a model that nobody else needs, and know of it what is known of one before its save.

    Raises:
        NoResultError, BrokenError: see `Ladder.stage`.
    """
    inputs = models.inputs(case.subject, product.base.seed)
    with ladder.stage(Stage.SAVE):
        model = alteration.quantized(product.model)
        plain = alteration.plain(product.base.unquantized())
    with ladder.stage(Stage.SAVE), ours():
        facts = observe(model)
        reference = models.forward(plain, inputs)
        output = None if product.output is None else twice(model, inputs)
        _not_vacuous(facts, output, reference)
        _keep(directory, model, reference, output)
    return replace(
        product,
        model=model,
        facts=facts,
        reference=Reference(reference),
        output=output,
        directory=directory,
    )


def _not_vacuous(facts: ModelFacts, output: torch.Tensor | None, reference: torch.Tensor) -> None:
    if any(not inner.digest for _, _, inner in facts.leaves()):
        raise HarnessError("the model to be saved holds tensors on the meta device")
    if output is not None and digest(output) == digest(reference):
        raise HarnessError("the altered model's output equals the unquantized model's")


def _keep(
    directory: Path, model: Any, reference: torch.Tensor, output: torch.Tensor | None
) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    outputs = {"output:reference": reference, "output:quantized": output}
    save_oracle(directory, named_tensors(model), outputs)
