"""What `conformance bench model` can bench, and what others have published of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.axes.base import Pipeline

NONE = "none"
"""The row without quantization."""


@dataclass(frozen=True)
class Published:
    """A row of somebody else's table; never measured here."""

    seconds: float
    """Of one picture."""
    gigabytes: float
    """Peak memory."""


@dataclass(frozen=True)
class Benched:
    """A whole pipeline with random weights, and how one picture is drawn with it."""

    title: str
    subject: str
    """Whose transformer it is."""
    pipeline: Pipeline
    published_on: str = ""
    """Machine and terms of the published rows; empty where there are none."""
    published: Mapping[str, Published] = field(default_factory=dict)
    """By scheme."""


BENCHED = {
    "flux-small": Benched(
        "an 11 M parameter FLUX, 128 x 128, 4 steps, batch 1",
        "flux-small",
        Pipeline("flux-small", "FluxPipeline"),
    ),
    "cogvideox-small": Benched(
        "a 12.5 M parameter CogVideoX, 64 x 96, 5 frames asked for, 4 steps, batch 1",
        "cogvideox-small",
        Pipeline("cogvideox-small", "CogVideoXPipeline"),
    ),
    "flux-schnell": Benched(
        "FLUX.1-schnell, 1024 x 1024, 4 steps, batch 1",
        "flux-schnell",
        Pipeline("flux-schnell", "FluxPipeline"),
        published_on="one H100, 1024 x 1024, 4 steps, batch 1",
        published={NONE: Published(0.660, 31.451), "int8wo": Published(0.735, 20.517)},
    ),
    "cogvideox-5b": Benched(
        "CogVideoX-5b, 480 x 720, 49 frames, 50 steps, batch 1",
        "cogvideox-5b",
        Pipeline("cogvideox-5b", "CogVideoXPipeline"),
    ),
}
ON_CPU, ON_CUDA = "flux-small", "flux-schnell"
"""What is benched when nobody says what."""
