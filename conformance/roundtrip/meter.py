"""How many bytes a long piece of work has gone through."""

from collections.abc import Callable
from dataclasses import dataclass

Tell = Callable[[str, int, int], object]
"""Is told what is being done, and of how many bytes so many are done."""


@dataclass
class Meter:
    """Counts the bytes that were gone through, of all that will be."""

    tell: Tell
    total: int
    done: int = 0
    what: str = ""

    def begin(self, what: str) -> Callable[[int], None]:
        """Say what begins, and return what counts its bytes."""
        self.what = what
        self.add(0)
        return self.add

    def add(self, count: int) -> None:
        """Count bytes that are done."""
        self.done = min(self.done + count, self.total)
        self.tell(self.what, self.done, self.total)
