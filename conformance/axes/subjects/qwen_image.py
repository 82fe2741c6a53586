"""QwenImage: a text-to-image transformer of double stream blocks."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

TEXT_TOKENS, PADDING = 16, 4
# Frames, rows and columns of image tokens; not square, so that a swap of its axes shows.
IMAGE = (1, 4, 6)


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one image of 4 x 6 tokens and 16 text tokens, 4 of them padding.

    Returns:
        hidden_states (1, 24, in_channels), encoder_hidden_states (1, 16, joint_attention_dim),
        timestep (1,) in [0, 1), all bfloat16; encoder_hidden_states_mask (1, 16), bool; img_shapes,
        the frames, rows and columns of each image of each sample.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.bool)
    mask[:, -PADDING:] = False
    return {
        "hidden_states": normal(1, prod(IMAGE), config["in_channels"]),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["joint_attention_dim"]),
        "encoder_hidden_states_mask": mask,
        "timestep": torch.rand(1, generator=generator, dtype=torch.bfloat16),
        "img_shapes": [[IMAGE]],
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    return (
        (),
        f"""\
hidden_states=torch.randn(1, {prod(IMAGE)}, {config["in_channels"]}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["joint_attention_dim"]}).bfloat16(),
encoder_hidden_states_mask=torch.ones(1, {TEXT_TOKENS}, dtype=torch.bool),
timestep=torch.ones(1), img_shapes=[[{IMAGE}]],""",
    )


QWEN_IMAGE = Family(
    name="qwen-image",
    model_class="QwenImageTransformer2DModel",
    inputs=inputs,
    script=script,
    extra=True,
)

SUBJECTS = (tiny("qwen-image-tiny", QWEN_IMAGE, 54_560),)
