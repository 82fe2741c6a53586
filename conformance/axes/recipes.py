"""Short spellings for recipes: torchao's objects are named here and made when a config is built."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from conformance.axes.base import Recipe
from conformance.errors import UnavailableError

Later = Callable[[], Any]
"""Makes a torchao or torch object once a config is built."""

AQT = "AffineQuantizedTensor"
"""The tensor subclass of version 1 weight-only configs, removed in later releases."""
LAQT = "LinearActivationQuantizedTensor"
"""What wraps an `AffineQuantizedTensor` where activations are quantized too."""


def load(symbol: str) -> Any:
    """Import `module:name`; a bare name lies in `torchao.quantization`."""
    module, _, name = _full(symbol).partition(":")
    return getattr(importlib.import_module(module), name)


def subclass(symbol: str) -> Any:
    """Import a tensor subclass.

    Raises:
        UnavailableError: the installed torchao lacks it, though it may have the config.
    """
    try:
        return load(symbol)
    except (ImportError, AttributeError) as error:
        name = symbol.rpartition(":")[2]
        raise UnavailableError(f"this torchao has no {name}") from error


def _full(symbol: str) -> str:
    return symbol if ":" in symbol else f"torchao.quantization:{symbol}"


def later(symbol: str, *arguments: Any, **keywords: Any) -> Later:
    """Call `symbol` with these arguments when a config is built."""
    return lambda: load(symbol)(*_made(arguments), **_made_mapping(keywords))


def member(symbol: str, name: str) -> Later:
    """Take this attribute of a class, as of an enum, when a config is built."""
    return lambda: getattr(load(symbol), name)


def dtype(name: str) -> Later:
    """Take `torch.<name>` when a config is built."""
    return lambda: getattr(importlib.import_module("torch"), name)


def per_group(size: int) -> Later:
    """One scale for so many weights of a row."""
    return later("PerGroup", size)


def _made(values: tuple[Any, ...]) -> list[Any]:
    return [value() if callable(value) else value for value in values]


def _made_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(zip(values, _made(tuple(values.values())), strict=True))


def recipe(symbol: str, tensors: str | Mapping[int, str], *others: str, **arguments: Any) -> Recipe:
    """Describe one way to ask for a scheme.

    Args:
        symbol: `module:name`; a bare name lies in `torchao.quantization`.
        tensors: the tensor subclass it gives, by config version where there is one.
        *others: further subclasses that it may give, by the hardware.
        **arguments: for the config class; a callable value is called when the config is built.
    """
    # A config class without a version of its own may inherit version 1.
    by_version = {0: tensors, 1: tensors} if isinstance(tensors, str) else tensors
    return Recipe(
        symbol=_full(symbol),
        tensors={version: (name, *others) for version, name in by_version.items()},
        arguments=lambda: _made_mapping(arguments),
    )
