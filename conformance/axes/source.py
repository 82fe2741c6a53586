"""Values as the text of a script that imports nothing of the suite."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Import = tuple[str, str]
"""Module and name, for `from module import name`."""


@dataclass(frozen=True)
class Source:
    """An expression, or lines of a script, and what it imports."""

    text: str
    imports: frozenset[Import] = frozenset()

    def __add__(self, other: "Source") -> "Source":
        return Source(self.text + other.text, self.imports | other.imports)


class Written:
    """A value that can say how it is written in a script."""

    def source(self) -> Source:
        """Return the expression that makes it."""
        raise NotImplementedError


def source(value: Any) -> Source:
    """Return the expression that makes a value: one that is written, a container, or a literal."""
    if isinstance(value, Written):
        return value.source()
    if isinstance(value, list):
        return _enclosed("[", map(source, value), "]")
    if isinstance(value, tuple):
        return _enclosed("(", map(source, value), ",)" if len(value) == 1 else ")")
    return Source(repr(value))


def named(symbol: str) -> Source:
    """Return how `module:name` is called where it is imported; `torch` always is."""
    module, _, name = symbol.partition(":")
    if module == "torch":
        return Source(f"torch.{name}")
    return Source(name, frozenset({(module, name)}))


def call(symbol: str, arguments: Iterable[Any], keywords: Mapping[str, Any]) -> Source:
    """Return a call of `module:name`."""
    named_ones = (Source(f"{name}=") + source(value) for name, value in keywords.items())
    return named(symbol) + _enclosed("(", (*map(source, arguments), *named_ones), ")")


def _enclosed(opening: str, parts: Iterable[Source], closing: str) -> Source:
    joined = Source(opening)
    for number, part in enumerate(parts):
        joined += Source(", " if number else "") + part
    return joined + Source(closing)


@dataclass(frozen=True)
class Names:
    """What the lines of an axis value are filled with."""

    model: str
    """The model class."""
    config: str
    """The expression of the quantization config."""
    limit: str
    """`max_shard_size`."""
    device: str
    options: str = ""
    """Further arguments of `quantize_`."""
    pipeline: str = ""
    """The pipeline class; empty for a model alone."""

    def fill(self, lines: str) -> str:
        """Put the names, by those of the fields, and `{placed}` into lines."""
        return "\n".join(
            line.format(**vars(self), placed=self._placed(line)) for line in lines.splitlines()
        )

    def _placed(self, line: str) -> str:
        """Return the argument that loads onto a device, on a line of its own."""
        margin = line[: len(line) - len(line.lstrip())]
        return "" if self.device == "cpu" else f',\n{margin}device_map="{self.device}"'


@dataclass(frozen=True)
class FormatScript:
    """A format as lines of a script, with `model`, `loaded` and `directory` as their variables.

    `directory` is where the model lies: within that of the pipeline, where a whole one is saved.
    `OTHERS` holds the other parts of the pipeline, all of them None.
    """

    save: str
    load: str
    imports: frozenset[Import] = frozenset()
    load_imports: frozenset[Import] = frozenset()
    alters: str = ""
    """What is done to `model` before it is saved; what comes out must come back."""
    packages: tuple[str, ...] = ()
    """Distributions that it needs beside the usual ones."""


InputsScript = Callable[[Mapping[str, Any]], tuple[Sequence[str], str]]
"""Model config -> lines before a call of the model, and lines of its keyword arguments."""
