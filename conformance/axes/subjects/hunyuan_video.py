"""HunyuanVideo: a text-to-video transformer that refines its text first."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

TEXT_TOKENS, PADDING = 16, 4
# Latent frames, height and width, none alike.
VIDEO = (3, 4, 6)
GUIDANCE = 6000.0


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one video of 3 x 4 x 6 latent pixels, 16 text tokens, 4 of padding.

    Returns:
        hidden_states (1, in_channels, 3, 4, 6), encoder_hidden_states (1, 16, text_embed_dim),
        pooled_projections (1, pooled_projection_dim) and guidance (1,), all bfloat16; timestep (1,)
        in 1..999 and encoder_attention_mask (1, 16) of ones and zeros, both int64.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.int64)
    mask[:, -PADDING:] = 0
    return {
        "hidden_states": normal(1, config["in_channels"], *VIDEO),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["text_embed_dim"]),
        "pooled_projections": normal(1, config["pooled_projection_dim"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
        "encoder_attention_mask": mask,
        "guidance": torch.full((1,), GUIDANCE, dtype=torch.bfloat16),
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    video = ", ".join(map(str, (1, config["in_channels"], *VIDEO)))
    return (
        (),
        f"""\
hidden_states=torch.randn({video}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["text_embed_dim"]}).bfloat16(),
pooled_projections=torch.randn(1, {config["pooled_projection_dim"]}).bfloat16(),
timestep=torch.tensor([500]), guidance=torch.tensor([{GUIDANCE}]),
encoder_attention_mask=torch.ones(1, {TEXT_TOKENS}, dtype=torch.int64),""",
    )


HUNYUAN_VIDEO = Family(
    name="hunyuan-video",
    model_class="HunyuanVideoTransformer3DModel",
    inputs=inputs,
    script=script,
    extra=True,
)

SUBJECTS = (tiny("hunyuan-video-tiny", HUNYUAN_VIDEO, 107_872),)
