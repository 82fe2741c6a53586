"""The floor of the suite's benchmark: a run's library calls in one process, and nothing else.

`python -m conformance.bench.bare CALLS GLOB ...`, where CALLS is `once` (build, quantize, save,
load, forward) or `same` (as often as the suite makes them: a fresh reader loads and calls again,
and two more saves with a load between them follow). Prints the seconds, imports left out.
"""

import copy
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from conformance.axes import models
from conformance.axes.base import Quantized
from conformance.case import Case, default_cases, select
from conformance.roundtrip import preload
from conformance.roundtrip.possible import how_far
from conformance.roundtrip.quiet import quietly
from conformance.roundtrip.verify import load


def main(calls: str, globs: Iterable[str]) -> None:
    """Make the calls and print how long they took."""
    if preload.error is not None:
        raise preload.error
    cases = select(globs, default_cases())
    start = time.perf_counter()
    with quietly():
        for _, group in groupby(cases, key=lambda case: case.group):
            with tempfile.TemporaryDirectory() as directory:
                Group(list(group), Path(directory), again=calls == "same").run()
    print(f"{time.perf_counter() - start:.3f}")


class Group:
    """The cases that share a model."""

    def __init__(self, cases: list[Case], directory: Path, *, again: bool) -> None:
        self.cases, self.directory, self.again = cases, directory, again
        self.inputs = models.inputs(cases[0].subject)
        self.count = 0

    def run(self) -> None:
        """Build once, quantize once for each route, round-trip each format."""
        # What a library refuses ends there, and costs the time that it took until then.
        with suppress(Exception):
            self.cases[0].scheme.resolve()
            how_far(self.cases[0].scheme, self.cases[0].device)
            base = models.build(self.cases[0].subject)
            models.forward(base, self.inputs)
            base.save_pretrained(self.directory / "base")
            for _, members in groupby(self.cases, key=lambda case: case.quantized):
                self.run_route(list(members), base)

    def run_route(self, cases: list[Case], base: Any) -> None:
        """Quantize and go through the formats."""
        with suppress(Exception):
            storage, kernel_missing = how_far(cases[0].scheme, cases[0].device)
            config = cases[0].scheme.resolve()
            how = Quantized(
                cases[0].scheme, config, self.directory / "base", storage, cases[0].device
            )
            model = cases[0].route.quantize(copy.deepcopy(base), how).eval()
            forwards = 0 if kernel_missing else 1
            self.forward(model, 2 * forwards)
            for case in cases:
                with suppress(Exception):
                    self.round_trip(case, model, forwards)

    def round_trip(self, case: Case, model: Any, forwards: int) -> None:
        """Save, load and call; with `again` also what the fresh reader does."""
        checkpoint = self.save(case, model)
        self.forward(load(case, checkpoint).model, forwards)
        if self.again:
            reloaded = load(case, checkpoint).model
            self.forward(reloaded, forwards)
            self.save(case, load(case, self.save(case, reloaded)).model)

    def save(self, case: Case, model: Any) -> Path:
        """Save to a new directory."""
        self.count += 1
        checkpoint = self.directory / f"{self.count}"
        checkpoint.mkdir()
        case.format.save(model, checkpoint, self.shard_limit(model))
        return checkpoint

    def shard_limit(self, model: Any) -> int:
        """Return about the limit that the suite gives: under the size of the largest Linear."""
        return int(max(parameter.numel() for parameter in model.parameters())) - 1

    def forward(self, model: Any, times: int) -> None:
        """Call the model."""
        for _ in range(times):
            models.forward(model, self.inputs)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
