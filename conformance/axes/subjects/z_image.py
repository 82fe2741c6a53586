"""Z-Image: a text-to-image transformer of one stream, whose samples come in and go out in lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

# The model fills both up to a multiple of 32 tokens with tokens of its own.
CAPTION_TOKENS = 20
# Frames, height and width in latent pixels; not square, so that a swap of its axes shows.
IMAGE = (1, 8, 12)


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one image of 8 x 12 latent pixels and 20 caption tokens.

    Returns:
        x, a tuple of one tensor (in_channels, 1, 8, 12), and cap_feats, one of one tensor
        (20, cap_feat_dim), both bfloat16; t (1,) in [0, 1), bfloat16.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    return {
        "x": (normal(config["in_channels"], *IMAGE),),
        "cap_feats": (normal(CAPTION_TOKENS, config["cap_feat_dim"]),),
        "t": torch.rand(1, generator=generator, dtype=torch.bfloat16),
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    image = ", ".join(map(str, (config["in_channels"], *IMAGE)))
    return (
        (),
        f"""\
x=[torch.randn({image}).bfloat16()],
cap_feats=[torch.randn({CAPTION_TOKENS}, {config["cap_feat_dim"]}).bfloat16()],
t=torch.ones(1),""",
    )


Z_IMAGE = Family(
    name="z-image",
    model_class="ZImageTransformer2DModel",
    inputs=inputs,
    script=script,
    picked="[0][0]",
    extra=True,
)

SUBJECTS = (tiny("z-image-tiny", Z_IMAGE, 794_240),)
