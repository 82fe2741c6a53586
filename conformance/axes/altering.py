"""What a format does to a quantized model before it saves it: adapters are added, for example."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def left_as_it_is(model: Any) -> Any:
    """Return the model."""
    return model


@dataclass(frozen=True)
class Alteration:
    """What comes out must come back: the record is of that, and not of the model before it.

    Which weights are quantized, and to what, is asked of the same model by the other formats.
    """

    quantized: Callable[[Any], Any]
    """`quantized model -> what is saved`; the given one is changed or used up."""
    plain: Callable[[Any], Any] = left_as_it_is
    """The like for the unquantized model that outputs are measured against."""
