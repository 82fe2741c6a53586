"""What a format saves and loads: a model, or the whole pipeline that it works in."""

from dataclasses import dataclass
from typing import Any

from conformance.axes.base import Format, Route


@dataclass(frozen=True)
class Held:
    """A model, and the pipeline that it works in, where there is one."""

    model: Any
    pipeline: Any = None

    def given(self, to: Route | Format) -> Any:
        """Return what a route or a format takes: the pipeline where it asks for all of it."""
        return self.pipeline if to.whole else self.model


def held(got: Any, by: Route | Format) -> Held:
    """Return what a route or a format gave back, in evaluation mode."""
    return Held(got.transformer.eval(), got) if by.whole else Held(got.eval())
