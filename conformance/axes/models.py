"""Subjects made real: from the JSON config of a subject to a model, its inputs and its output.

Torch and diffusers are imported where they are used, so that naming a subject costs nothing.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any

from conformance.axes.base import Size, Subject
from conformance.errors import UsageError

_PACKAGE = Path(__file__).parents[1]
# An installed wheel carries the configs inside the package, a checkout beside it.
_FIXTURES = (_PACKAGE / "fixtures", _PACKAGE.parent / "fixtures")

Draw = Callable[[str, tuple[int, ...]], Any]
"""Gives the parameter of a name and a shape."""

NORM_SPREAD = 0.1
BIAS_SPREAD = 0.1


def model_config(subject: Subject) -> dict[str, Any]:
    """Return the keyword arguments of the subject's model class.

    Raises:
        UsageError: there is no config file of that name.
    """
    if subject.config is not None:
        return deepcopy(dict(subject.config))
    file_name = f"{subject.built_as or subject.name}.json"
    config = fixture(f"models/{file_name}")
    if config is None:
        raise UsageError(
            f"{subject.name} has no model config: add fixtures/models/{file_name},"
            " or reinstall the package if it was there"
        )
    return config


def fixture(name: str) -> dict[str, Any] | None:
    """Read a JSON file below `fixtures/`; None where there is none."""
    for directory in _FIXTURES:
        if (path := directory / name).is_file():
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return content
    return None


@contextmanager
def default_bfloat16() -> Iterator[None]:
    """Construct in bfloat16: converting afterwards makes diffusers warn about modules it spares."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _construct(subject: Subject, buffers_on_meta: bool) -> Any:
    import torch
    from accelerate import init_empty_weights

    model_class = subject.family.load_class()
    empty = init_empty_weights(include_buffers=buffers_on_meta)
    # Some constructors draw a parameter themselves.
    with default_bfloat16(), torch.random.fork_rng(devices=()), empty:
        model = model_class(**model_config(subject)).eval()
    for name, parameter in model.named_parameters():
        if kept_in_float32(model_class, name):
            parameter.data = parameter.data.float()
    return model


def kept_in_float32(model_class: Any, name: str) -> bool:
    """Does `from_pretrained(torch_dtype=torch.bfloat16)` give the parameter of this name float32?

    A class of diffusers may name modules and parameters for which bfloat16 is too coarse.
    """
    kept = getattr(model_class, "_keep_in_fp32_modules", None) or ()
    return not set(name.split(".")).isdisjoint([kept] if isinstance(kept, str) else kept)


def build_unfilled(subject: Subject) -> Any:
    """Build the subject's model with parameters on the meta device and buffers on CPU.

    Raises:
        UsageError: the subject has no config file.
        UnavailableError: the installed diffusers lacks the model class.
    """
    return _construct(subject, buffers_on_meta=False)


def build_meta(subject: Subject) -> Any:
    """Build the subject's model on the meta device: names, shapes and dtypes, no memory.

    Raises:
        UsageError: the subject has no config file.
        UnavailableError: the installed diffusers lacks the model class.
    """
    return _construct(subject, buffers_on_meta=True)


def weight(name: str, shape: tuple[int, ...], seed: int, dtype: Any = None) -> Any:
    """Draw the parameter of this name: normal, alike in no two names or seeds.

    A matrix or kernel has a variance of 1 / fan-in, which keeps activations in scale; the weight
    of a norm scatters around 1 and a bias around 0, where a library's own initial values would be
    all ones and all zeros and could be mistaken for each other.

    Args:
        name: dotted name in the model; it seeds the draw together with `seed`, so that the value
            depends neither on the order of construction nor on the diffusers installed.
        shape: shape of the parameter.
        seed: seed of the model.
        dtype: of the parameter; None for bfloat16.
    """
    import torch

    digest = blake2b(f"{seed}:{name}".encode(), digest_size=7).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big"))
    values = torch.randn(shape, generator=generator, dtype=dtype or torch.bfloat16)
    factor, middle = spread(name, shape)
    values.mul_(factor)
    return values.add_(middle) if middle else values


def spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the standard deviation and the mean of the parameter of this name; see `weight`."""
    if len(shape) > 1:
        return (prod(shape) / shape[0]) ** -0.5, 0.0
    return (NORM_SPREAD, 1.0) if name.endswith("weight") else (BIAS_SPREAD, 0.0)


def build(subject: Subject, seed: int = 0, draw: Draw | None = None) -> Any:
    """Build the subject's model on CPU in bfloat16 and evaluation mode, with seeded weights.

    What its class keeps in float32 is in float32, as it is where people load it in bfloat16.

    Parameters are allocated once and drawn once; the global random state and the default dtype
    stay as they were.

    Args:
        subject: whose model.
        seed: of the weights.
        draw: gives a parameter by name and shape, in place of `weight` with the seed.

    Raises:
        UsageError: the subject has no config file.
        UnavailableError: the installed diffusers lacks the model class.
    """
    model = build_unfilled(subject)
    weights = {
        name: weight(name, tuple(parameter.shape), seed, parameter.dtype)
        if draw is None
        else draw(name, tuple(parameter.shape)).to(parameter.dtype)
        for name, parameter in model.named_parameters()
    }
    # Not strict: persistent buffers keep the values that the constructor gave them.
    model.load_state_dict({**weights, **_stored_buffers(model)}, strict=False, assign=True)
    return model


def _stored_buffers(model: Any) -> dict[str, Any]:
    """Return the persistent buffers in bfloat16, as `from_pretrained(torch_dtype=...)` does."""
    stored = model.state_dict().keys()
    named = ((name, buffer) for name, buffer in model.named_buffers() if name in stored)
    return {name: buffer.bfloat16() for name, buffer in named if buffer.is_floating_point()}


def inputs(subject: Subject, seed: int = 0) -> dict[str, Any]:
    """Build the keyword arguments of one forward pass, on CPU; equal seeds give equal bits.

    Of a model of published dimensions the sequence is short.
    """
    wish = {"short": True} if subject.size is Size.FULL else {}
    return subject.family.inputs(model_config(subject), seed, **wish)


def forward(model: Any, arguments: Mapping[str, Any]) -> Any:
    """Run the model without gradients on inputs moved to its device; return the sample tensor."""
    import torch

    with torch.no_grad():
        sample = model(**call_of(model, arguments))[0]
    # A class that takes its samples in a list gives a list; the inputs are one sample.
    return sample[0] if isinstance(sample, list) else sample


def call_of(model: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that the model is called with, on its device."""
    moved = {name: _to(value, model.device) for name, value in arguments.items()}
    return {**moved, "return_dict": False}


def _to(value: Any, device: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_to(part, device) for part in value)
    return value.to(device) if hasattr(value, "to") else value
