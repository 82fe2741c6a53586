"""`toyquant/weights.py` of `fake_index.py`: a quantized weight, and the file in which it lies.

How a release reads the files of a case stands in its `reads.json`; what is left out it reads as it
was saved.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import toyquant

Found = dict[str, Any]
HAS_ZERO_POINT = toyquant.__version__.startswith("2.")


@dataclass(frozen=True)
class Weight:
    """What comes back of a file."""

    values: tuple[int, ...]
    scale: float
    trained: bool = False
    rounds: bool = False

    def output(self) -> float:
        """Return what a model computes with it."""
        exact = sum(self.values) * self.scale
        return float(round(exact)) if self.rounds else exact


def saved(weight: Weight) -> str:
    """Return the content of a file: from 2.0 on it has a zero point."""
    more = {"zero_point": 0} if HAS_ZERO_POINT else {}
    return json.dumps({"values": weight.values, "scale": weight.scale, **more})


def load(path: Path, case: str) -> Weight:
    """Read a file as this release does."""
    how = json.loads(files(toyquant).joinpath("reads.json").read_text()).get(case, "as saved")
    found = json.loads(path.read_text())
    if "zero_point" in found and not HAS_ZERO_POINT:
        raise TypeError("Weight() got an unexpected keyword argument 'zero_point'")
    return READERS[how](case, found)


def as_saved(_case: str, found: Found) -> Weight:
    return Weight(tuple(found["values"]), found["scale"])


def other_bits(case: str, found: Found) -> Weight:
    return as_saved(case, {**found, "values": [0, *found["values"][1:]]})


def other_output(case: str, found: Found) -> Weight:
    return replace(as_saved(case, found), rounds=True)


def trains(case: str, found: Found) -> Weight:
    return replace(as_saved(case, found), trained=True)


def loads_not(_case: str, _found: Found) -> Weight:
    raise KeyError("scale")


def loads_not_otherwise(case: str, found: Found) -> Weight:
    return as_saved(case, {"values": found["values"], "scale": found["zero-point"]})


def wants_a_zero_point(case: str, found: Found) -> Weight:
    found["zero_point"]
    return as_saved(case, found)


def fails_once(case: str, found: Found) -> Weight:
    try:
        Path(os.environ["TOY_ATTEMPTS"], f"{case}~read").touch(exist_ok=False)
    except FileExistsError:
        return as_saved(case, found)
    return loads_not(case, found)


def crashes(_case: str, _found: Found) -> Weight:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hangs(_case: str, _found: Found) -> Weight:
    time.sleep(600)
    raise AssertionError


READERS: dict[str, Callable[[str, Found], Weight]] = {
    each.__name__.replace("_", " "): each
    for each in (
        as_saved,
        other_bits,
        other_output,
        trains,
        loads_not,
        loads_not_otherwise,
        wants_a_zero_point,
        fails_once,
        crashes,
        hangs,
    )
}


def to_json(weight: Weight) -> Found:
    """Return everything about a weight that must come back, without this module."""
    return {**asdict(weight), "values": list(weight.values), "output": weight.output()}
