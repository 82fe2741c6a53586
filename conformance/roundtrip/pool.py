"""Random weights for large models: every parameter is a window of one run of random numbers.

Drawing each parameter by itself takes longer than everything else. What is shared: two parameters
hold the same numbers in another place, scaled to their own spread; and layers of one shape have the
same rows, each layer turned on by another number of rows, so that they need be quantized once only.
Nothing that is compared loses by it: no two parameters begin at the same place and the length of
the run is a prime, so that no row of a matrix begins where another one does, and two layers that
are swapped differ in every row.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from math import prod

import torch

from conformance.axes.models import spread
from conformance.roundtrip.ladder import HarnessError

LENGTH = 2**24 - 3
"""Numbers in the run; a prime, and 34 MB in bfloat16."""


class Pool:
    """Draws parameters by name; equal seeds and names give equal bits."""

    def __init__(self, seed: int, length: int = LENGTH) -> None:
        self.seed = seed
        generator = torch.Generator("cpu").manual_seed(seed)
        self._run = torch.randn(length, generator=generator, dtype=torch.bfloat16)
        self.turns: dict[str, int] = {}
        """By how many rows the layers are turned that share a block with those of their shape."""

    def share(self, layers: Mapping[str, tuple[int, ...]]) -> None:
        """Let layers of one shape have the same rows, each beginning with another one.

        Args:
            layers: shape by name.

        Raises:
            HarnessError: there are more layers of a shape than rows to begin with.
        """
        alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for name, shape in layers.items():
            alike[shape].append(name)
        for shape, names in alike.items():
            if len(names) > shape[0]:
                raise HarnessError(f"{len(names)} layers of shape {shape} would have to be equal")
            step = shape[0] // len(names)
            self.turns |= {name: number * step for number, name in enumerate(names)}

    def place(self, name: str) -> int:
        """Return where in the run the parameter of this name begins."""
        digest = blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest()
        length: int = self._run.numel()
        return int.from_bytes(digest, "big") % length

    def draw(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the parameter of this name: bfloat16 on CPU, spread as `models.weight` does."""
        factor, middle = spread(name, shape)
        values = torch.empty(prod(shape), dtype=torch.bfloat16)
        for place, start, count in self._spans(name, shape):
            torch.mul(self._run[place : place + count], factor, out=values[start : start + count])
        return (values.add_(middle) if middle else values).reshape(shape)

    def _spans(self, name: str, shape: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
        """Yield `(place in the run, start in the parameter, count)` for all of a parameter."""
        wanted = prod(shape)
        if name not in self.turns:
            yield from self._windows(self.place(name), wanted)
            return
        block, turned = self.place(_block(shape)), self.turns[name] * (wanted // shape[0])
        yield from self._windows((block + turned) % self._run.numel(), wanted - turned)
        for place, start, count in self._windows(block, turned):
            yield place, wanted - turned + start, count

    def _windows(self, place: int, wanted: int) -> Iterator[tuple[int, int, int]]:
        """Yield `(place in the run, start in the parameter, count)`, around the end of the run."""
        start = 0
        while start < wanted:
            count = min(wanted - start, self._run.numel() - place)
            yield place, start, count
            start, place = start + count, 0

    def all_apart(self, parameters: Mapping[str, tuple[int, ...]]) -> None:
        """Make sure that no two parameters begin at the same place; shared blocks count once.

        Args:
            parameters: shape by name.

        Raises:
            HarnessError: two do, and to swap them would go unseen.
        """
        taken: dict[int, str] = {}
        for name in self._blocks(parameters):
            other = taken.setdefault(self.place(name), name)
            if other != name:
                raise HarnessError(f"{name} and {other} begin alike; take another seed")

    def _blocks(self, parameters: Mapping[str, tuple[int, ...]]) -> Iterable[str]:
        each = (_block(shape) if name in self.turns else name for name, shape in parameters.items())
        return dict.fromkeys(each)


def _block(shape: tuple[int, ...]) -> str:
    return f"layers of {shape}"
