"""What `config.json` says of the quantization."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.inspection.kinds import Quantized

_CLASS = re.compile(
    r"(?:(?P<act>Int8|Float8)DynamicActivation)?(?P<weights>Int8|Int4|Float8|Intx|UIntx?)Weight"
    r"(?:Only)?Config",
    re.IGNORECASE,
)
_WORD = re.compile(
    r"(?P<weights>u?int[1-8]|float8|fp[3-6]|int4|int8)_?(?P<how>wo|weight_only|dq|dynamic_\w+)"
)
"""The short names that diffusers took before 0.38."""


@dataclass(frozen=True)
class Said:
    """One torchao config in `config.json`."""

    type: str
    """`Int8WeightOnlyConfig`, or the short name of an older diffusers."""
    version: int | None
    fields: tuple[str, ...]
    """Names of its fields: releases add some, and older ones refuse them."""
    quantized: Quantized | None
    """What it asks for; None where its name is not known here."""

    @property
    def key(self) -> str:
        """Equal for configs that every reader takes or refuses alike."""
        return f"{self.type} version {self.version} ({', '.join(self.fields)})"


@dataclass(frozen=True)
class Config:
    """What is of interest in `config.json`."""

    class_name: str = ""
    diffusers: str = ""
    """Version that wrote it."""
    method: str = ""
    """`quant_method`; empty where nothing is said of quantization."""
    said: tuple[Said, ...] = ()
    skipped: tuple[str, ...] = ()
    """`modules_to_not_convert`."""

    @property
    def key(self) -> str:
        """Equal for configs that every reader takes or refuses alike."""
        return "; ".join(each.key for each in self.said) or self.method or "not quantized"


def parse(data: Mapping[str, Any]) -> Config:
    """Read the content of a `config.json`; what is not understood is left out."""
    given = data.get("quantization_config")
    quantization = given if isinstance(given, dict) else {}
    skipped = quantization.get("modules_to_not_convert")
    return Config(
        class_name=str(data.get("_class_name", "")),
        diffusers=str(data.get("_diffusers_version", "")),
        method=str(quantization.get("quant_method", "")) if quantization else "",
        said=tuple(_types(quantization.get("quant_type"))),
        skipped=tuple(str(each) for each in skipped) if isinstance(skipped, list) else (),
    )


def _types(given: Any, depth: int = 0) -> Iterator[Said]:
    if isinstance(given, str):
        yield Said(given, None, (), _of_word(given))
    elif isinstance(given, dict) and "_type" in given:
        yield from _type(given, depth)
    elif isinstance(given, dict) and depth < 4:
        for each in given.values():
            yield from _types(each, depth + 1)


def _type(given: Mapping[str, Any], depth: int) -> Iterator[Said]:
    kind, data, version = str(given["_type"]), given.get("_data"), given.get("_version")
    fields = data if isinstance(data, dict) else {}
    if kind.endswith("FqnToConfig"):
        yield from _types({str(n): v for n, v in fields.items()}, depth + 1)
        return
    number = version if isinstance(version, int) else None
    yield Said(kind, number, tuple(sorted(map(str, fields))), _of_class(kind, fields))


def _of_class(kind: str, fields: Mapping[str, Any]) -> Quantized | None:
    match = _CLASS.fullmatch(kind)
    if match is None:
        return None
    weights = match["weights"].lower()
    if "intx" in weights:
        dtype = fields.get("weight_dtype", fields.get("dtype"))
        said = dtype.get("_data") if isinstance(dtype, dict) else dtype
        weights = str(said or "").removeprefix("torch.")
    return Quantized(weights, (match["act"] or "").lower())


def _of_word(word: str) -> Quantized | None:
    match = _WORD.match(word)
    if match is None:
        return None
    dynamic = not match["how"].startswith("w")
    activations = "float8" if match["weights"] == "float8" else "int8"
    return Quantized(match["weights"], activations if dynamic else "")
