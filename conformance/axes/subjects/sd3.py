"""Stable Diffusion 3: a text-to-image transformer that joins text and image in every block."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

TEXT_TOKENS = 16
# Not square, so that a swap of its axes shows; the config has the size of its position table only.
HEIGHT, WIDTH = 8, 12


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one image of 8 x 12 latent pixels and 16 text tokens.

    Returns:
        hidden_states (1, in_channels, 8, 12), encoder_hidden_states (1, 16, joint_attention_dim),
        pooled_projections (1, pooled_projection_dim), all bfloat16; timestep (1,) in 1..999, int64.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    return {
        "hidden_states": normal(1, config["in_channels"], HEIGHT, WIDTH),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["joint_attention_dim"]),
        "pooled_projections": normal(1, config["pooled_projection_dim"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    return (
        (),
        f"""\
hidden_states=torch.randn(1, {config["in_channels"]}, {HEIGHT}, {WIDTH}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["joint_attention_dim"]}).bfloat16(),
pooled_projections=torch.randn(1, {config["pooled_projection_dim"]}).bfloat16(),
timestep=torch.tensor([500]),""",
    )


SD3 = Family(
    name="sd3", model_class="SD3Transformer2DModel", inputs=inputs, script=script, extra=True
)

# The first block has the second attention and the norms of 3.5, the last one only gives an image.
SUBJECTS = (tiny("sd3-tiny", SD3, 88_320),)
