"""CogVideoX: a text-to-video transformer, 1.0 (Conv2d patches) and 1.5 (Linear patches)."""

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.axes.base import Family, Pipeline, Size, Subject
from conformance.axes.full_size import PLAIN, SPLIT, full, shards
from conformance.axes.pipelines import HANDED_OR_WHOLE

# Largest latent (frames, height, width). Published sizes are too large for a CPU: 17,550 video
# tokens for CogVideoX-2b, 44,880 for 1.5 at 1360 x 768 pixels.
LIMIT, SHORT_LIMIT = (4, 8, 12), (2, 4, 6)
SHORT_TEXT = 16
ROTARY_BASE = 10_000.0


def latent_size(
    config: Mapping[str, Any], limit: tuple[int, int, int] = LIMIT
) -> tuple[int, int, int]:
    """Return frames, height and width of the latent video for a model config.

    It is the size of the config, with
    `temporal_compression_ratio * (frames - 1) + 1 == sample_frames`, up to `limit`. Without rotary
    embeddings a model that is asked for another size than its config's computes positions anew, and
    its position-embedding buffer, which no checkpoint holds, goes unread
    (`CogVideoXPatchEmbed.forward` of diffusers): at full size only its bits are compared, the tiny
    and small models read it. Version 1.5 folds `patch_size_t` frames
    into one patch, so their number is rounded up to a multiple of it, as its pipeline does.
    """
    size = (
        (config["sample_frames"] - 1) // config["temporal_compression_ratio"] + 1,
        config["sample_height"],
        config["sample_width"],
    )
    frames, height, width = (min(*pair) for pair in zip(size, limit, strict=True))
    fold: int = config.get("patch_size_t") or 1
    return -(-frames // fold) * fold, height, width


def video_tokens(config: Mapping[str, Any], latent: tuple[int, int, int]) -> int:
    """Return how many tokens a latent video (frames, height, width) is cut into."""
    frames, height, width = latent
    patch: int = config["patch_size"]
    fold: int = config.get("patch_size_t") or 1
    return (frames // fold) * (height // patch) * (width // patch)


def rotary_embedding(tokens: int, head_dim: int) -> tuple[Any, Any]:
    """Return cosines and sines, each (tokens, head_dim) in float32, as diffusers passes them.

    Every pair of channels turns by the token's position at a frequency of its own. The pipeline
    splits the channels over time, height and width; one axis is enough here, and leaves the inputs
    the same whatever diffusers is installed.
    """
    import torch

    frequencies = ROTARY_BASE ** -(torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    positions = torch.arange(tokens, dtype=torch.float32)
    angles = torch.outer(positions, frequencies).repeat_interleave(2, dim=1)
    return angles.cos(), angles.sin()


def text_tokens(config: Mapping[str, Any], *, short: bool) -> int:
    """Return how many text tokens there are; a table of positions has room for all or none."""
    most: int = config["max_text_seq_length"]
    return min(most, SHORT_TEXT) if short and config["use_rotary_positional_embeddings"] else most


def inputs(config: Mapping[str, Any], seed: int, *, short: bool = False) -> dict[str, Any]:
    """Build seeded inputs of one video.

    Args:
        config: the model config.
        seed: of the draw.
        short: the model is so large that every token counts.

    Returns:
        hidden_states (1, frames, in_channels, height, width) with the sizes of `latent_size`,
        encoder_hidden_states (1, text tokens, text_embed_dim), both bfloat16; timestep
        (1,) in 1..999, int64; and, for models with rotary embeddings, image_rotary_emb, a tuple of
        two tensors (video tokens, attention_head_dim) in float32.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    frames, height, width = latent = latent_size(config, SHORT_LIMIT if short else LIMIT)
    text = text_tokens(config, short=short)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    built = {
        "hidden_states": normal(1, frames, config["in_channels"], height, width),
        "encoder_hidden_states": normal(1, text, config["text_embed_dim"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
    }
    if config["use_rotary_positional_embeddings"]:
        head_dim = config["attention_head_dim"]
        built["image_rotary_emb"] = rotary_embedding(video_tokens(config, latent), head_dim)
    return built


def script(config: Mapping[str, Any]) -> tuple[Sequence[str], str]:
    """Return the lines of a repro that make inputs of the same shapes."""
    frames, height, width = latent_size(config)
    video = f"1, {frames}, {config['in_channels']}, {height}, {width}"
    text = f"1, {config['max_text_seq_length']}, {config['text_embed_dim']}"
    keywords = f"""\
hidden_states=torch.randn({video}).bfloat16(),
encoder_hidden_states=torch.randn({text}).bfloat16(),
timestep=torch.tensor([500]),"""
    if not config["use_rotary_positional_embeddings"]:
        return (), keywords
    tokens = video_tokens(config, (frames, height, width))
    half = config["attention_head_dim"] // 2
    angles = f"torch.outer(torch.arange({tokens}), 0.5 ** torch.arange({half}))"
    before = f"angles = {angles}.repeat_interleave(2, 1)"
    return (before,), f"{keywords} image_rotary_emb=(angles.cos(), angles.sin()),"


DEFAULTS = {
    "in_channels": 16,
    "out_channels": 16,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "dropout": 0.0,
    "attention_bias": True,
    "patch_size": 2,
    "temporal_compression_ratio": 4,
    "activation_fn": "gelu-approximate",
    "timestep_activation_fn": "silu",
    "norm_elementwise_affine": True,
    "norm_eps": 1e-05,
    "spatial_interpolation_scale": 1.875,
    "temporal_interpolation_scale": 1.0,
    "use_rotary_positional_embeddings": False,
    "use_learned_positional_embeddings": False,
}

COGVIDEOX = Family(
    name="cogvideox",
    model_class="CogVideoXTransformer3DModel",
    inputs=inputs,
    script=script,
    defaults=DEFAULTS,
)

# CogVideoX-2b (sine positions) and -5b (rotary) are the published transformer/config.json of
# THUDM/CogVideoX-2b and THUDM/CogVideoX-5b, but for one number: the text of -2b has 16 tokens in
# place of 226 (28 in all in place of 238), since its table of positions takes the whole text, and
# no weight depends on it. CogVideoX1.5-5B (rotary, patches over time) has the
# layers and heads of -5b and what `--version 1.5` sets in scripts/convert_cogvideox_to_diffusers.py
# of diffusers. Its 300 x 300 is the grid that rotary tables are cut from, not the size of a video;
# copies of a later revision of its published file hold 96 x 170, and nothing here depends on it.
# Its patch_bias is false, yet diffusers gives the Linear patch embedding a bias.
SUBJECTS = (
    Subject("cogvideox-tiny", COGVIDEOX, Size.TINY, parameters=35_040),
    # Its inputs are of another size than its config's: see `latent_size`.
    Subject(
        "cogvideox-cut-tiny",
        COGVIDEOX,
        Size.TINY,
        parameters=35_040,
        schemes=("int8wo",),
        formats=("export", "export-strict"),
    ),
    Subject("cogvideox-small", COGVIDEOX, Size.SMALL, parameters=12_506_176),
    Subject("cogvideox15-tiny", COGVIDEOX, Size.TINY, parameters=39_200),
    Subject("cogvideox15-small", COGVIDEOX, Size.SMALL, parameters=12_588_160),
    # The smallest is combined with every scheme; one shard of 2 GB would hold all of it.
    full("cogvideox-2b", COGVIDEOX, 1_693_783_872, *PLAIN, *SPLIT, schemes=None),
    full("cogvideox-5b", COGVIDEOX, 5_570_283_072, *PLAIN, *shards(2)),
    full("cogvideox15-5b", COGVIDEOX, 5_570_676_352, *PLAIN, *shards(2)),
    Subject(
        "cogvideox-pipeline",
        COGVIDEOX,
        Size.PIPELINE,
        parameters=35_040,
        built_as="cogvideox-tiny",
        pipeline=Pipeline("cogvideox-pipeline", "CogVideoXPipeline"),
        formats=HANDED_OR_WHOLE,
    ),
)
