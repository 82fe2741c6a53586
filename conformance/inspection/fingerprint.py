"""What tells one release's weights from another's, and nothing that a model's size changes."""

import json
from collections.abc import Iterable
from typing import Any

from conformance.inspection.weights import Container, Weight

EXACT = ("quant_min", "quant_max")
"""Numbers that are the scheme; every other number is a size."""


def fingerprint(weight: Weight, container: Container | None) -> str:
    """Return what is equal for weights that every reader takes alike, as far as a file tells.

    Classes with their modules, inner tensors with their dtypes (`model` for that of the weight
    itself), attributes with their values; sizes are left out.
    """
    parts = sorted(
        f"{name} {'model' if part.dtype == weight.dtype else part.dtype}"
        for name, part in weight.parts.items()
    )
    held = {name: _form(name, value) for name, value in sorted(weight.attributes.items())}
    attributes = json.dumps(held, sort_keys=True).replace(f'"{weight.dtype}"', '"model"')
    return f"{outline(weight, container)} [{', '.join(parts)}] {attributes}"


def outline(weight: Weight, container: Container | None) -> str:
    """Return the coarser half: the container and the classes."""
    return f"{container}: {' / '.join(weight.classes)}"


def fingerprints(weights: Iterable[Weight], container: Container | None) -> frozenset[str]:
    """Return those of all quantized weights."""
    return frozenset(fingerprint(each, container) for each in weights if each.quantized)


def _form(name: str, value: Any) -> Any:
    """Return a value without the sizes in it."""
    if isinstance(value, bool) or name.rsplit(".", 1)[-1] in EXACT:
        return value
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        sizes = all(isinstance(each, int) for each in value)
        return "sizes" if sizes else [_form("", each) for each in value]
    if isinstance(value, dict):
        return {each: _form(each, inner) for each, inner in value.items()}
    return value
