"""Flux: a text-to-image transformer of double and single stream blocks."""

from collections.abc import Mapping
from math import prod
from typing import Any

from conformance.axes.base import Family, Pipeline, Size, Subject
from conformance.axes.pipelines import HANDED_OR_WHOLE

# Image tokens lie on a grid that is not square, so that a swap of its axes shows.
GRID = (8, 4)
TEXT_TOKENS = 48
GUIDANCE = 3.5


def image_ids() -> Any:
    """Return the position (0, row, column) of every image token, (32, 3) in bfloat16."""
    import torch

    rows, columns = GRID
    positions = [(0, row, column) for row in range(rows) for column in range(columns)]
    return torch.tensor(positions, dtype=torch.bfloat16)


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one image: 32 image tokens and 48 text tokens.

    Neither number is part of a model config, so they are the same at every size, full included.

    Returns:
        hidden_states (1, 32, in_channels), encoder_hidden_states (1, 48, joint_attention_dim),
        pooled_projections (1, pooled_projection_dim), timestep (1,) in [0, 1), img_ids (32, 3) as
        (0, row, column), txt_ids (48, 3) of zeros, and guidance (1,) where the config asks for
        guidance embeddings. All of them bfloat16.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    built = {
        "hidden_states": normal(1, prod(GRID), config["in_channels"]),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["joint_attention_dim"]),
        "pooled_projections": normal(1, config["pooled_projection_dim"]),
        "timestep": torch.rand(1, generator=generator, dtype=torch.bfloat16),
        "img_ids": image_ids(),
        "txt_ids": torch.zeros(TEXT_TOKENS, 3, dtype=torch.bfloat16),
    }
    if config["guidance_embeds"]:
        built["guidance"] = torch.full((1,), GUIDANCE, dtype=torch.bfloat16)
    return built


FLUX = Family(name="flux", model_class="FluxTransformer2DModel", inputs=inputs)

# Tiny and small have guidance embeddings as FLUX.1-dev has: its layers include those of -schnell.
# The full configs are the published transformer/config.json of black-forest-labs/FLUX.1-schnell
# and black-forest-labs/FLUX.1-dev. Their first revisions leave out axes_dims_rope, whose value in
# later ones, [16, 56, 56], is also the default of the class. The count of -dev is the one that the
# metadata of its published safetensors files gives.
SUBJECTS = (
    Subject("flux-tiny", FLUX, Size.TINY, parameters=80_608),
    Subject("flux-small", FLUX, Size.SMALL, parameters=11_034_944),
    Subject("flux-schnell", FLUX, Size.FULL, parameters=11_891_178_560, schemes=("int8wo",)),
    Subject("flux-dev", FLUX, Size.FULL, parameters=11_901_408_320, schemes=("int8wo",)),
    Subject(
        "flux-pipeline",
        FLUX,
        Size.PIPELINE,
        parameters=80_608,
        config="flux-tiny",
        pipeline=Pipeline("flux-pipeline", "FluxPipeline"),
        formats=HANDED_OR_WHOLE,
    ),
)
