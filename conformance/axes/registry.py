"""The values of every axis, found by looking into the axis packages: one file adds one value.

Subjects are also found in other distributions, by entry points; see `outside.py`.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from conformance.axes import outside
from conformance.axes.base import SEGMENT, Format, Route, Scheme, Subject

Value = TypeVar("Value", Subject, Scheme, Route, Format)


def unique(values: Iterable[Value]) -> dict[str, Value]:
    """Index axis values by name.

    Raises:
        ValueError: a name occurs twice, or cannot be a segment of a case id.
    """
    index: dict[str, Value] = {}
    for value in values:
        if not SEGMENT.fullmatch(value.name):
            raise ValueError(f"{value.name!r} cannot be a segment of a case id")
        if value.name in index:
            raise ValueError(f"{value.name!r} is declared twice")
        index[value.name] = value
    return index


def _declared(package: str, attribute: str) -> list[object]:
    parent = importlib.import_module(f"conformance.axes.{package}")
    names = sorted(module.name for module in pkgutil.iter_modules(parent.__path__))
    modules = [importlib.import_module(f"{parent.__name__}.{name}") for name in names]
    return [value for module in modules for value in getattr(module, attribute, ())]


@cache
def subjects() -> dict[str, Subject]:
    """Every subject by name: those of the suite, and behind them those of other distributions.

    Raises:
        UsageError: what another distribution declares is wrong.
    """
    own: dict[str, Subject] = unique(_declared("subjects", "SUBJECTS"))  # type: ignore[arg-type]
    return own | outside.subjects(own)


@cache
def schemes() -> dict[str, Scheme]:
    """Every scheme by name."""
    return unique(_declared("schemes", "SCHEMES"))  # type: ignore[arg-type]


@cache
def routes() -> dict[str, Route]:
    """Every route by name."""
    return unique(_declared("routes", "ROUTES"))  # type: ignore[arg-type]


@cache
def formats() -> dict[str, Format]:
    """Every format by name."""
    return unique(_declared("formats", "FORMATS"))  # type: ignore[arg-type]
