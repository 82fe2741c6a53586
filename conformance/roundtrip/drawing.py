"""A model in its pipeline: put there, handed over, and what it draws there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from conformance.axes import pipelines
from conformance.axes.base import Device, Pipeline
from conformance.case import Case
from conformance.roundtrip.held import Held
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.observe import digest
from conformance.roundtrip.pictures import draw_twice


@dataclass(frozen=True)
class Drawn:
    """A whole pipeline with the unquantized model in it."""

    whole: Any
    picture: torch.Tensor
    """What it draws: (frames, height, width, 3)."""


def put_into(pipeline: Pipeline, model: Any, seed: int, device: Device) -> Drawn:
    """Build the other parts of a pipeline around a model, and let it draw.

    Raises:
        UnavailableError: transformers is not installed.
        HarnessError: its pictures cannot be compared.
    """
    whole = pipelines.assemble(pipeline, model, seed).to(str(device))
    return Drawn(whole, draw_twice(pipeline, whole, seed))


def handed(case: Case, made: Held, directory: Path | None, device: Device) -> Held:
    """Hand a model to the pipeline that lies in a directory, unless it is in one or needs none."""
    pipeline = case.subject.pipeline
    if pipeline is None or directory is None:
        return made
    if made.pipeline is not None:
        return Held(made.model, pipelines.quiet(made.pipeline))
    return Held(made.model, pipelines.hand(pipeline, directory, made.model, device))


def picture_of(pipeline: Pipeline, whole: Any, seed: int, reference: torch.Tensor) -> torch.Tensor:
    """Draw with a quantized model.

    Raises:
        HarnessError: the picture cannot be compared, or equals the unquantized pipeline's.
    """
    picture = draw_twice(pipeline, whole, seed)
    if digest(picture) == digest(reference):
        raise HarnessError("the quantized pipeline's picture equals the unquantized pipeline's")
    return picture
