"""What a pipeline draws: its facts, how much it is like another picture, and the arrays to show."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.axes import pipelines
from conformance.axes.base import Likeness, Pipeline
from conformance.roundtrip.gallery import PICTURES
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.observe import digest
from conformance.roundtrip.record import Output

FLAT = 0.01
"""Standard deviation under which a picture shows nothing, of a range of 1."""


def draw_twice(pipeline: Pipeline, whole: Any, seed: int) -> torch.Tensor:
    """Draw twice and return the frames: (frames, height, width, 3), float32 in [0, 1].

    Raises:
        HarnessError: two equal calls gave two pictures, or the picture shows nothing.
    """
    first, second = (pipelines.draw(pipeline, whole, seed) for _ in range(2))
    if digest(first) != digest(second):
        raise HarnessError("the same pipeline drew two different pictures from the same seed")
    if not first.std() > FLAT:
        raise HarnessError("the picture is of one colour, and would be whatever the model does")
    return first


def picture_facts(frames: torch.Tensor) -> tuple[Output, ...]:
    """Return the facts of every frame."""
    return tuple(Output(digest(each), str(each.dtype), tuple(each.shape)) for each in frames)


def likeness(reference: torch.Tensor, frames: torch.Tensor) -> Likeness:
    """Compare with the reference frame by frame, and return the worst of each number."""
    pairs = list(zip(reference.numpy(), frames.numpy(), strict=True))
    return Likeness(min(_psnr(*each) for each in pairs), min(_ssim(*each) for each in pairs))


def _psnr(wanted: Any, got: Any) -> float:
    from skimage.metrics import peak_signal_noise_ratio

    if np.array_equal(wanted, got):
        return float("inf")  # by definition; scikit-image divides by zero, with a warning
    return float(peak_signal_noise_ratio(wanted, got, data_range=1.0))


def _ssim(wanted: Any, got: Any) -> float:
    from skimage.metrics import structural_similarity

    return float(structural_similarity(wanted, got, data_range=1.0, channel_axis=-1))


def keep_pictures(directory: Path, **pictures: torch.Tensor | None) -> None:
    """Write pictures by name for somebody who shows them: 8 bits a colour."""
    there = {name: each for name, each in pictures.items() if each is not None}
    arrays = {name: (each * 255).round().to(torch.uint8).numpy() for name, each in there.items()}
    np.savez(directory / PICTURES, **arrays)
