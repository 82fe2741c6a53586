"""Short spellings for recipes: torchao's objects are named here and made when a config is built."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.axes.quantization import Recipe
from conformance.axes.source import Source, Written, call, named
from conformance.errors import UnavailableError


class Later(Written):
    """A torchao or torch object that is made once a config is built."""

    def __call__(self) -> Any:
        """Make it."""
        raise NotImplementedError


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


@dataclass(frozen=True)
class _Call(Later):
    symbol: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]

    def __call__(self) -> Any:
        return load(self.symbol)(*made(self.arguments), **made(self.keywords))

    def source(self) -> Source:
        return call(_full(self.symbol), self.arguments, self.keywords)


@dataclass(frozen=True)
class _Member(Later):
    symbol: str
    name: str

    def __call__(self) -> Any:
        return getattr(load(self.symbol), self.name)

    def source(self) -> Source:
        return named(_full(self.symbol)) + Source(f".{self.name}")


def later(symbol: str, *arguments: Any, **keywords: Any) -> Later:
    """Call `symbol` with these arguments when a config is built."""
    return _Call(symbol, arguments, keywords)


def member(symbol: str, name: str) -> Later:
    """Take this attribute of a class, as of an enum, when a config is built."""
    return _Member(symbol, name)


@dataclass(frozen=True)
class _Torch(Later):
    name: str

    def __call__(self) -> Any:
        return getattr(importlib.import_module("torch"), self.name)

    def source(self) -> Source:
        return Source(f"torch.{self.name}")


def dtype(name: str) -> Later:
    """Take `torch.<name>` when a config is built."""
    return _Torch(name)


def per_group(size: int) -> Later:
    """One scale for so many weights of a row."""
    return later("PerGroup", size)


def made(value: Any) -> Any:
    """Make what is to be made later, also inside of containers; a list or dict comes back new."""
    if isinstance(value, Later):
        return value()
    if isinstance(value, list | tuple):
        return type(value)(made(each) for each in value)
    if isinstance(value, Mapping):
        return {name: made(each) for name, each in value.items()}
    return value


@dataclass(frozen=True)
class Arguments:
    """The keyword arguments of a config, made anew for every config."""

    keywords: Mapping[str, Any]

    def __call__(self) -> dict[str, Any]:
        """Make them."""
        return dict(made(self.keywords))


def recipe(symbol: str, tensors: str | Mapping[int, str], *others: str, **arguments: Any) -> Recipe:
    """Describe one way to ask for a scheme.

    Args:
        symbol: `module:name`; a bare name lies in `torchao.quantization`.
        tensors: the tensor subclass it gives, by config version where there is one.
        *others: further subclasses that it may give, by the hardware.
        **arguments: for the config class; what is to be made later is, when the config is built.
    """
    # A config class without a version of its own may inherit version 1.
    by_version = {0: tensors, 1: tensors} if isinstance(tensors, str) else tensors
    return Recipe(
        symbol=_full(symbol),
        tensors={version: (name, *others) for version, name in by_version.items()},
        arguments=Arguments(arguments),
    )


def config_source(recipe: Recipe) -> Source:
    """Return the expression that builds the config, without its settings.

    Raises:
        TypeError: its arguments are a function, which cannot be written down.
    """
    arguments = recipe.arguments
    if isinstance(arguments, Arguments):
        return call(recipe.symbol, (), arguments.keywords)
    if arguments is dict:
        return call(recipe.symbol, (), {})
    raise TypeError(f"the arguments of {recipe.symbol} are a function; give values to `recipe`")
