"""Wan: a text-to-video transformer, some of whose modules diffusers keeps in float32."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.axes.base import Family
from conformance.axes.representative import tiny

TEXT_TOKENS = 16
# Latent frames, height and width, none alike.
VIDEO = (3, 4, 6)


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one video of 3 x 4 x 6 latent pixels and 16 text tokens.

    Returns:
        hidden_states (1, in_channels, 3, 4, 6), encoder_hidden_states (1, 16, text_dim), both
        bfloat16; timestep (1,) in 1..999, int64.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    return {
        "hidden_states": normal(1, config["in_channels"], *VIDEO),
        "encoder_hidden_states": normal(1, TEXT_TOKENS, config["text_dim"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
    }


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    video = ", ".join(map(str, (1, config["in_channels"], *VIDEO)))
    return (
        (),
        f"""\
hidden_states=torch.randn({video}).bfloat16(),
encoder_hidden_states=torch.randn(1, {TEXT_TOKENS}, {config["text_dim"]}).bfloat16(),
timestep=torch.tensor([500]),""",
    )


WAN = Family(
    name="wan", model_class="WanTransformer3DModel", inputs=inputs, script=script, extra=True
)

SUBJECTS = (tiny("wan-tiny", WAN, 27_840),)
