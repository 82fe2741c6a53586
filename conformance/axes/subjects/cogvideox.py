"""CogVideoX: a text-to-video transformer, 1.0 (Conv2d patches) and 1.5 (Linear patches)."""

from collections.abc import Mapping
from typing import Any

from conformance.axes.base import Family, Pipeline, Size, Subject
from conformance.axes.pipelines import HANDED_OR_WHOLE

# Largest latent (frames, height, width) of the models with rotary embeddings. They take any size,
# and the published ones are too large for a CPU: 44,880 video tokens for 1.5 at 1360 x 768 pixels.
ROTARY_LIMIT = (4, 16, 24)
ROTARY_BASE = 10_000.0


def latent_size(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return frames, height and width of the latent video for a model config.

    Without rotary embeddings it is exactly the size of the config, with
    `temporal_compression_ratio * (frames - 1) + 1 == sample_frames`: for any other size the model
    computes positions anew and its position-embedding buffer, which no checkpoint holds, would go
    unread (`CogVideoXPatchEmbed.forward` of diffusers). Version 1.5 folds `patch_size_t` frames
    into one patch, so their number is rounded up to a multiple of it, as its pipeline does.
    """
    size = (
        (config["sample_frames"] - 1) // config["temporal_compression_ratio"] + 1,
        config["sample_height"],
        config["sample_width"],
    )
    if config["use_rotary_positional_embeddings"]:
        size = tuple(min(*pair) for pair in zip(size, ROTARY_LIMIT, strict=True))
    frames, height, width = size
    fold: int = config.get("patch_size_t") or 1
    return -(-frames // fold) * fold, height, width


def video_tokens(config: Mapping[str, Any]) -> int:
    """Return how many tokens the latent video is cut into."""
    frames, height, width = latent_size(config)
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


def inputs(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Build seeded inputs of one video.

    Returns:
        hidden_states (1, frames, in_channels, height, width) with the sizes of `latent_size`,
        encoder_hidden_states (1, max_text_seq_length, text_embed_dim), both bfloat16; timestep
        (1,) in 1..999, int64; and, for models with rotary embeddings, image_rotary_emb, a tuple of
        two tensors (video tokens, attention_head_dim) in float32.
    """
    import torch

    generator = torch.Generator("cpu").manual_seed(seed)
    frames, height, width = latent_size(config)

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.bfloat16)

    built = {
        "hidden_states": normal(1, frames, config["in_channels"], height, width),
        "encoder_hidden_states": normal(1, config["max_text_seq_length"], config["text_embed_dim"]),
        "timestep": torch.randint(1, 1000, (1,), generator=generator),
    }
    if config["use_rotary_positional_embeddings"]:
        head_dim = config["attention_head_dim"]
        built["image_rotary_emb"] = rotary_embedding(video_tokens(config), head_dim)
    return built


COGVIDEOX = Family(name="cogvideox", model_class="CogVideoXTransformer3DModel", inputs=inputs)

# CogVideoX-2b (sine positions) and -5b (rotary) are the published transformer/config.json of
# THUDM/CogVideoX-2b and THUDM/CogVideoX-5b. CogVideoX1.5-5B (rotary, patches over time) has the
# layers and heads of -5b and what `--version 1.5` sets in scripts/convert_cogvideox_to_diffusers.py
# of diffusers. Its 300 x 300 is the grid that rotary tables are cut from, not the size of a video;
# copies of a later revision of its published file hold 96 x 170, and nothing here depends on it.
# Its patch_bias is false, yet diffusers gives the Linear patch embedding a bias.
SUBJECTS = (
    Subject("cogvideox-tiny", COGVIDEOX, Size.TINY, parameters=35_040),
    Subject("cogvideox-small", COGVIDEOX, Size.SMALL, parameters=12_506_176),
    Subject("cogvideox15-tiny", COGVIDEOX, Size.TINY, parameters=39_200),
    Subject("cogvideox15-small", COGVIDEOX, Size.SMALL, parameters=12_588_160),
    Subject("cogvideox-2b", COGVIDEOX, Size.FULL, parameters=1_693_783_872, schemes=("int8wo",)),
    Subject("cogvideox-5b", COGVIDEOX, Size.FULL, parameters=5_570_283_072, schemes=("int8wo",)),
    Subject("cogvideox15-5b", COGVIDEOX, Size.FULL, parameters=5_570_676_352, schemes=("int8wo",)),
    Subject(
        "cogvideox-pipeline",
        COGVIDEOX,
        Size.PIPELINE,
        parameters=35_040,
        config="cogvideox-tiny",
        pipeline=Pipeline("cogvideox-pipeline", "CogVideoXPipeline"),
        formats=HANDED_OR_WHOLE,
    ),
)
