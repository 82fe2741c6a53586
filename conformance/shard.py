"""One part of a run that several machines share."""

import re
from dataclasses import dataclass

from conformance.errors import UsageError


@dataclass(frozen=True, order=True)
class Shard:
    """Part `index` of `count`, counted from 1; written `2/4`."""

    count: int
    index: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `2/4`.

        Raises:
            UsageError: it is not written so, or there is no such part.
        """
        match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text, re.ASCII)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(f"no shard {text!r}; write part and parts, from 1/4 to 4/4")
        return cls(count=int(match[2]), index=int(match[1]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
