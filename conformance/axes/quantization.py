"""A scheme asked of the installed torchao: the first recipe that it has and accepts."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.errors import UnavailableError


@dataclass(frozen=True)
class Recipe:
    """One way in which some torchao releases are asked for a scheme."""

    symbol: str
    """`module:name` of a config class, or of a callable of the releases before 0.9."""
    tensors: Mapping[int, Sequence[str]]
    """Tensor subclasses that it gives, by the config's `version` (0 where there is none)."""
    arguments: Callable[[], Mapping[str, Any]] = dict
    """Keyword arguments; a function, because most of them are torchao objects."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Attributes set afterwards, for a config class whose constructor takes no arguments."""

    def find(self) -> Any | None:
        """Return the config class or callable, or None when the installed torchao lacks it."""
        module, _, name = self.symbol.partition(":")
        try:
            return getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError:
            return None

    def build(self) -> Any | None:
        """Return the config, or None when the installed torchao lacks it."""
        factory = self.find()
        if factory is None:
            return None
        config = factory(**self.arguments())
        for name, value in self.settings.items():
            setattr(config, name, value)
        return config


REFUSALS = (TypeError, ValueError, AttributeError, AssertionError, ImportError, RuntimeError)
"""How torchao says that it does not accept a config, or that a module of it cannot be imported."""


def one_line(error: BaseException) -> str:
    """Name the error and give the first line of its message."""
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@dataclass(frozen=True)
class Quantization:
    """A scheme resolved for the torchao at hand."""

    config: Any
    """A config object, or the function that an old release's callable returned."""
    tensors: tuple[str, ...]
    """Names of the tensor subclasses that the weights must have."""

    @property
    def version_less(self) -> bool:
        """Is it what a callable of an old release returned, and no config object?"""
        return callable(self.config)


def resolve(recipes: Iterable[Recipe]) -> Quantization:
    """Build the config of the first recipe that the installed torchao has and accepts.

    Raises:
        UnavailableError: there is none.
    """
    reasons = []
    for recipe in recipes:
        try:
            return _resolved(recipe)
        except UnavailableError as error:
            reasons.append(str(error))
    raise UnavailableError("; ".join(dict.fromkeys(reasons)))


def _resolved(recipe: Recipe) -> Quantization:
    try:
        config = recipe.build()
    except REFUSALS as error:
        raise UnavailableError(one_line(error)) from error
    if config is None:
        raise UnavailableError(f"{recipe.symbol.partition(':')[2]} is not in this torchao")
    version = int(getattr(config, "version", 0))
    if version not in recipe.tensors:
        raise UnavailableError(f"config version {version} is not described")
    return Quantization(config, tuple(recipe.tensors[version]))
