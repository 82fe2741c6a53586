"""Whole pipelines made real: their parts from a JSON config and a seed, and the pictures they draw.

Torch, diffusers and transformers are imported where they are used. Nothing is downloaded: the
tokenizers know the letters of the alphabet.
"""

import importlib
import importlib.util
import inspect
import string
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import models
from conformance.axes.base import Device, Pipeline
from conformance.errors import UnavailableError, UsageError

NEEDED = "transformers"
HANDED_OR_WHOLE = ("pickle", "safetensors", "pipeline-pickle", "pipeline-safetensors")
"""Formats of a pipeline's subject: the transformer alone, which a pipeline is then handed, or all.

How else a transformer can lie on disk is asked of the tiny models.
"""
WORD_START = "\u2581"
"""What stands for the space before a word in T5's vocabulary."""


def load_class(pipeline: Pipeline) -> Any:
    """Import and return the pipeline's class.

    Raises:
        UnavailableError: transformers is not installed, or diffusers lacks the class.
    """
    if importlib.util.find_spec(NEEDED) is None:
        raise UnavailableError(f"needs the package {NEEDED}")
    return _named(f"diffusers:{pipeline.pipeline_class}")


def pipeline_config(pipeline: Pipeline) -> dict[str, Any]:
    """Read the parts of a pipeline and how it is called.

    Raises:
        UsageError: there is no config file of that name.
    """
    file_name = f"pipelines/{pipeline.name}.json"
    config = models.fixture(file_name)
    if config is None:
        raise UsageError(f"{pipeline.name} has no parts: add fixtures/{file_name}")
    return config


def assemble(
    pipeline: Pipeline, transformer: Any, seed: int, draw: models.Draw | None = None
) -> Any:
    """Build every other part with seeded weights in bfloat16, and put the pipeline together.

    Args:
        pipeline: which.
        transformer: of it.
        seed: of the weights.
        draw: gives a parameter by name and shape, in place of `models.weight` with the seed.

    Raises:
        UsageError: the pipeline has no config file.
        UnavailableError: transformers is not installed, or a class is not there.
    """
    whole = load_class(pipeline)
    described = pipeline_config(pipeline)["parts"]
    drawing = draw or partial(models.weight, seed=seed)
    parts = {name: part(name, each, drawing) for name, each in described.items()}
    return quiet(whole(transformer=transformer, **parts))


def hand(pipeline: Pipeline, directory: Path | str, transformer: Any, device: Device) -> Any:
    """Read a pipeline with another transformer than its own, as the published recipe does."""
    import torch

    whole = load_class(pipeline).from_pretrained(
        directory, transformer=transformer, torch_dtype=torch.bfloat16
    )
    return quiet(whole if device is Device.CPU else whole.to(str(device)))


def quiet(pipeline: Any) -> Any:
    """Return the pipeline without its progress bar."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Pipeline, whole: Any, seed: int) -> Any:
    """Call a pipeline and return its frames: (frames, height, width, 3), float32 in [0, 1], on CPU.

    The noise is drawn on the CPU, alike for every device, from a generator that is seeded anew for
    each call: one that is used twice gives other noise.
    """
    import torch

    arguments = pipeline_config(pipeline)["call"]
    generator = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        drawn = whole(**arguments, generator=generator, output_type="pt", return_dict=False)[0]
    frames = drawn.reshape(-1, *drawn.shape[-3:])
    return frames.movedim(1, -1).to("cpu", torch.float32).contiguous()


def part(name: str, described: Mapping[str, Any], draw: models.Draw) -> Any:
    """Build one part: a module with seeded weights, a scheduler, or a tokenizer.

    Raises:
        UnavailableError: the class is not in what is installed.
    """
    import torch

    built = constructed(described)
    return _seeded(built, name, draw) if isinstance(built, torch.nn.Module) else built


def constructed(described: Mapping[str, Any]) -> Any:
    """Build one part as its library does, in bfloat16; the errors are those of `part`."""
    made = _named(described["class"])
    arguments = dict(described["arguments"])
    if make_vocabulary := VOCABULARIES.get(made.__name__):
        return _tokenizer(made, {**make_vocabulary(), **arguments})
    if "config" in described:
        arguments = {"config": _named(described["config"])(**arguments)}
    with models.default_bfloat16():
        return made(**arguments)


def _tokenizer(made: Any, arguments: dict[str, Any]) -> Any:
    if "vocab" not in inspect.signature(made.__init__).parameters:
        raise UnavailableError(f"the {made.__name__} of this {NEEDED} takes no vocabulary")
    return made(**arguments)


def _seeded(module: Any, name: str, draw: models.Draw) -> Any:
    """Fill the parameters in place: those that are tied stay tied."""
    import torch

    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(draw(f"{name}.{key}", tuple(parameter.shape)))
    return module.eval()


def _named(symbol: str) -> Any:
    module, _, name = symbol.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UnavailableError(f"{module} has no {name}") from error


def _clip_vocabulary() -> dict[str, Any]:
    """Every letter within and at the end of a word, and no merges."""
    letters = [letter + end for letter in string.ascii_lowercase for end in ("", "</w>")]
    tokens = [*letters, "<|startoftext|>", "<|endoftext|>"]
    return {"vocab": {token: number for number, token in enumerate(tokens)}, "merges": []}


def _t5_vocabulary() -> dict[str, Any]:
    """Every letter, and every letter at the start of a word, with its log probability."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (WORD_START, -1.0)]
    starts = [(WORD_START + letter, -1.5) for letter in string.ascii_lowercase]
    letters = [(letter, -2.0) for letter in string.ascii_lowercase]
    return {"vocab": special + starts + letters, "extra_ids": 0}


VOCABULARIES = {"CLIPTokenizer": _clip_vocabulary, "T5Tokenizer": _t5_vocabulary}
"""How the vocabulary of a tokenizer class is made."""
