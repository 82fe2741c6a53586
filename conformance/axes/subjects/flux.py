"""Flux: a text-to-image transformer of double and single stream blocks."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from conformance.axes.base import Family, Pipeline, Size, Subject
from conformance.axes.full_size import PLAIN, full, shards
from conformance.axes.pipelines import HANDED_OR_WHOLE

# Image tokens lie on a grid that is not square, so that a swap of its axes shows.
GRID, SHORT_GRID = (8, 4), (3, 1)
TEXT_TOKENS, SHORT_TEXT = 48, 3
GUIDANCE = 3.5


def image_ids(grid: tuple[int, int]) -> Any:
    """Return the position (0, row, column) of every image token, (tokens, 3) in bfloat16."""
    import torch

    rows, columns = grid
    positions = [(0, row, column) for row in range(rows) for column in range(columns)]
    return torch.tensor(positions, dtype=torch.bfloat16)


def inputs(config: Mapping[str, Any], seed: int, *, short: bool = False) -> dict[str, Any]:
    """Build seeded inputs of one image: 32 image tokens and 48 text tokens, or 3 and 3.

    Neither number is part of a model config.

    Args:
        config: the model config.
        seed: of the draw.
        short: the model is so large that every token counts.

    Returns:
        hidden_states (1, image tokens, in_channels), encoder_hidden_states (1, text tokens,
        joint_attention_dim), pooled_projections (1, pooled_projection_dim), timestep (1,) in
        [0, 1), img_ids (image tokens, 3) as (0, row, column), txt_ids (text tokens, 3) of zeros,
        and guidance (1,) where the config asks for guidance embeddings. All of them bfloat16.
    """
    import torch

    grid, text = (SHORT_GRID, SHORT_TEXT) if short else (GRID, TEXT_TOKENS)
    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    built = {
        "hidden_states": normal(1, prod(grid), config["in_channels"]),
        "encoder_hidden_states": normal(1, text, config["joint_attention_dim"]),
        "pooled_projections": normal(1, config["pooled_projection_dim"]),
        "timestep": torch.rand(1, generator=generator, dtype=torch.bfloat16),
        "img_ids": image_ids(grid),
        "txt_ids": torch.zeros(text, 3, dtype=torch.bfloat16),
    }
    if config["guidance_embeds"]:
        built["guidance"] = torch.full((1,), GUIDANCE, dtype=torch.bfloat16)
    return built


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    rows, columns = GRID
    guidance = " guidance=torch.ones(1)," if config["guidance_embeds"] else ""
    return (
        (),
        f"""\
hidden_states=torch.randn(1, {rows * columns}, {config["in_channels"]}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["joint_attention_dim"]}).bfloat16(),
pooled_projections=torch.randn(1, {config["pooled_projection_dim"]}).bfloat16(),
timestep=torch.ones(1),{guidance} txt_ids=torch.zeros({TEXT_TOKENS}, 3),
img_ids=torch.cartesian_prod(*map(torch.arange, (1.0, {rows}.0, {columns}.0))),""",
    )


FLUX = Family(
    name="flux",
    model_class="FluxTransformer2DModel",
    inputs=inputs,
    script=script,
    defaults={"patch_size": 1, "guidance_embeds": False},
)

# Tiny and small have guidance embeddings as FLUX.1-dev has: its layers include those of -schnell.
# The full configs are the published transformer/config.json of black-forest-labs/FLUX.1-schnell
# and black-forest-labs/FLUX.1-dev. Their first revisions leave out axes_dims_rope, whose value in
# later ones, [16, 56, 56], is also the default of the class. The count of -dev is the one that the
# metadata of its published safetensors files gives.
SUBJECTS = (
    Subject("flux-tiny", FLUX, Size.TINY, parameters=80_608),
    # One of its Linears has 40 inputs, which 16 does not divide.
    Subject(
        "flux-odd-tiny",
        FLUX,
        Size.TINY,
        parameters=79_840,
        schemes=("int8wo",),
        formats=("compiled-pickle", "aoti"),
    ),
    Subject("flux-small", FLUX, Size.SMALL, parameters=11_034_944),
    # int8wo, floor 29.5 dB: with 6 tokens -schnell has 28.3 dB, 28.6 dB on another machine, whose
    # processor has no bf16 instructions, and -dev, of as many layers, 28.9 dB
    # (docs/results/full-size-cpu-flux-*). How much lower the floors are was chosen.
    full("flux-schnell", FLUX, 11_891_178_560, *PLAIN, *shards(10), *shards(2), deeper=1.5),
    full("flux-dev", FLUX, 11_901_408_320, *PLAIN, *shards(10), *shards(2), deeper=1.5),
    Subject(
        "flux-pipeline",
        FLUX,
        Size.PIPELINE,
        parameters=80_608,
        built_as="flux-tiny",
        pipeline=Pipeline("flux-pipeline", "FluxPipeline"),
        formats=HANDED_OR_WHOLE,
    ),
)
