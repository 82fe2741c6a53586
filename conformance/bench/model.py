"""The benchmark of whole pipelines: a row a scheme, each in processes of its own."""

import shutil
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from conformance.axes import registry
from conformance.axes.base import Device
from conformance.bench.benched import BENCHED, NONE, ON_CPU, ON_CUDA
from conformance.bench.process import Tell, ask
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.roundtrip.premises import Premises

MODULE = "conformance.bench.drawn"
GIGABYTE = 10**9


@dataclass(frozen=True)
class Plan:
    """What is to be benched."""

    name: str
    """A key of `BENCHED`."""
    schemes: tuple[str, ...]
    device: Device
    runs: int
    compiled: tuple[bool, ...] = (False,)
    """A row each: eager, and with `torch.compile`."""
    timeout: float = 3600.0
    """Longest time for one process, in seconds."""


@dataclass(frozen=True)
class Row:
    """What one scheme gave; where a process ended early, why."""

    scheme: str
    compiled: bool
    reason: str = ""
    """Why there are no numbers; empty where there are."""
    load_seconds: float = 0.0
    """Of `from_pretrained` in a fresh process."""
    first_seconds: float = 0.0
    """The first picture: the warm-up, with compiling where there is any."""
    seconds: float = 0.0
    """One picture, the median."""
    times: tuple[float, ...] = ()
    """Of every run."""
    peak_bytes: int = 0
    """While drawing: of the process on the CPU, of torch's allocator on CUDA."""
    disk_bytes: int = 0
    """Of the transformer's checkpoint."""
    spread: float = 0.0
    """Standard deviation of the picture, of a range of 1; of the flattest that was drawn."""


@dataclass(frozen=True)
class Bench:
    """A whole benchmark."""

    name: str
    device: str
    runs: int
    versions: dict[str, str]
    hardware: dict[str, str]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds; published rows stand apart and say what they are."""
        benched = BENCHED[self.name]
        published = {name: asdict(each) for name, each in benched.published.items()}
        return {
            "title": benched.title,
            **asdict(self),
            "published": {"on": benched.published_on, "rows": published},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Bench":
        """Rebuild a benchmark from `to_json`'s dictionary.

        Raises:
            KeyError, TypeError: it is none.
        """
        rows = tuple(Row(**{**each, "times": tuple(each["times"])}) for each in data["rows"])
        known = ("name", "device", "runs", "versions", "hardware")
        return cls(**{key: data[key] for key in known}, rows=rows)


def default_name(device: Device) -> str:
    """Return what is benched on a device when nobody says what."""
    return ON_CPU if device is Device.CPU else ON_CUDA


def checked(plan: Plan) -> Plan:
    """Return the plan.

    Raises:
        UsageError: it names what is not there.
    """
    if plan.name not in BENCHED:
        raise UsageError(f"no benchmark {plan.name!r}; there are {', '.join(BENCHED)}")
    for name in plan.schemes:
        if name != NONE and name not in registry.schemes():
            raise UsageError(f"no scheme {name!r}; `conformance schemes` lists them")
    if plan.device.crossed:
        raise UsageError("a benchmark runs on one device; give --device cpu or cuda")
    if plan.device is Device.CUDA and not has_cuda():
        raise UsageError("no CUDA device is here; --device cpu benches the small models")
    return plan


def has_cuda() -> bool:
    """Does the driver see a GPU? Asked without torch."""
    return hardware()["gpu"] not in ("none", "nvidia-smi does not answer")


def measure(plan: Plan, tell: Tell) -> Generator[Bench, None, None]:
    """Yield the benchmark after each row; `tell` hears of each part before it starts."""
    about = (plan.name, str(plan.device), plan.runs, observed_versions(), hardware())
    rows: list[Row] = []
    premises = Premises.occupy()
    try:
        for scheme in plan.schemes:
            directory = premises.directory / scheme
            directory.mkdir()
            for row in _rows(plan, scheme, directory, tell):
                rows.append(row)
                yield Bench(*about, tuple(rows))
            shutil.rmtree(directory)
    finally:
        premises.leave()


def _rows(plan: Plan, scheme: str, directory: Path, tell: Tell) -> Iterator[Row]:
    """Save once, and draw once a way."""
    saved = _ask("save", plan, scheme, directory, tell)
    for compiled in plan.compiled:
        if isinstance(saved, str):
            yield Row(scheme, compiled, reason=saved)
            continue
        more = [str(plan.runs), *(["--compile"] if compiled else [])]
        yield _row(scheme, compiled, saved, _ask("draw", plan, scheme, directory, tell, *more))


def _row(scheme: str, compiled: bool, saved: dict[str, Any], drawn: dict[str, Any] | str) -> Row:
    if isinstance(drawn, str):
        return Row(scheme, compiled, reason=drawn, disk_bytes=saved["disk_bytes"])
    return Row(
        scheme,
        compiled,
        load_seconds=drawn["load_seconds"],
        first_seconds=drawn["first_seconds"],
        seconds=median(drawn["seconds"]),
        times=tuple(drawn["seconds"]),
        peak_bytes=drawn["peak_bytes"],
        disk_bytes=saved["disk_bytes"],
        spread=drawn["spread"],
    )


def _ask(
    half: str, plan: Plan, scheme: str, directory: Path, tell: Tell, *more: str
) -> dict[str, Any] | str:
    """Run one half in a process of its own; return what it told, or why it told nothing."""
    where = [plan.name, scheme, str(plan.device), str(directory), *more]
    name = f"{scheme}, compiled" if "--compile" in more else scheme
    command = [sys.executable, "-m", MODULE, half, *where]
    told = ask(command, plan.timeout, lambda part: tell(f"{name}: {part}"))
    return f"{half}: {told}" if isinstance(told, str) else told
