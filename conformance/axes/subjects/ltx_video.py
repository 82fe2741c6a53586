"""LTX-Video: a text-to-video transformer whose video comes in as a row of tokens."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

TEXT_TOKENS, PADDING = 16, 4
# Latent frames, height and width, none alike.
VIDEO = (2, 3, 5)


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one video of 2 x 3 x 5 tokens and 16 text tokens, 4 of them padding.

    Returns:
        hidden_states (1, 30, in_channels), encoder_hidden_states (1, 16, caption_channels), both
        bfloat16; timestep (1,) in 1..999 and encoder_attention_mask (1, 16) of ones and zeros, both
        int64; num_frames, height and width as integers.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.int64)
    mask[:, -PADDING:] = 0
    frames, height, width = VIDEO
    return {
        "hidden_states": normal(1, prod(VIDEO), config["in_channels"]),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["caption_channels"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
        "encoder_attention_mask": mask,
        "num_frames": frames,
        "height": height,
        "width": width,
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    frames, height, width = VIDEO
    return (
        (),
        f"""\
hidden_states=torch.randn(1, {prod(VIDEO)}, {config["in_channels"]}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["caption_channels"]}).bfloat16(),
timestep=torch.tensor([500]), encoder_attention_mask=torch.ones(1, {TEXT_TOKENS}),
num_frames={frames}, height={height}, width={width},""",
    )


LTX_VIDEO = Family(
    name="ltx-video",
    model_class="LTXVideoTransformer3DModel",
    inputs=inputs,
    script=script,
    extra=True,
)

SUBJECTS = (tiny("ltx-video-tiny", LTX_VIDEO, 37_024),)
