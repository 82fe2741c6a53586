"""What large cases will need, told before they are run: memory, disk, and about how much time."""

import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.axes import models, registry
from conformance.axes.base import Device, Subject
from conformance.case import Case, find
from conformance.errors import UnavailableError, UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.budget import Budget, budget, free, missing
from conformance.roundtrip.engine import TIMEOUT, EndedError, Worker
from conformance.roundtrip.possible import how_far, require_device, require_time

SAMPLE = 2**28
"""Bytes that are written and read to see how fast the disk is."""
SIDE = 2048
"""Of the square Linear that is quantized and called."""
IMAGE_TOKENS = 12
"""Of a short sequence, beside those of its text."""
STARTING = 15.0
"""Seconds for two processes with their libraries."""


@dataclass(frozen=True)
class Rates:
    """What this machine does in a second."""

    write: float
    """Bytes to disk."""
    read: float
    copy: float
    """Bytes in memory."""
    quantize: float
    """Weights; 0 where that cannot be tried."""
    forward: float
    """Weights, in a quantized Linear."""
    plain: float
    """Weights, in a bf16 Linear."""
    shares: bool = False
    """Layers of one shape are quantized once."""


@dataclass(frozen=True)
class Planned:
    """What one case will need."""

    case: str
    payload: int
    """Bytes of the quantized model, at most."""
    memory: int
    disk: int
    seconds: float
    reason: str
    """Why it will have no result here; empty where it can be measured."""


def plan(cases: Iterable[Case]) -> Generator[Planned, None, None]:
    """Yield what each case will need, asked in a process of its own.

    Raises:
        UsageError: the libraries under test do not import, or do not survive the question.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        asked = Worker(planner, directory)
        with closing(asked):
            for case in cases:
                asked.send(case.id)
                try:
                    yield Planned(**asked.receive(TIMEOUT))
                except EndedError as ended:
                    raise UsageError(
                        f"{case.id} cannot be planned: {ended}; does it run?"
                    ) from None


def planner(connection: Connection, directory: str) -> None:
    """Tell what the cases need whose ids arrive, until None does."""
    place = Path(directory)
    with worker.at_work(place / worker.LOG):
        if not worker.libraries_import(connection):
            return
        while (case_id := connection.recv()) is not None:
            connection.send(vars(planned(find(case_id), place)))


def planned(case: Case, place: Path) -> Planned:
    """Return what a case will need on this machine."""
    need = budget(case)
    reason, seconds = missing(need, **free(place, case.device)), 0.0
    try:
        require_time(case)
        speed = rates(case.scheme.name, case.device, place, tokens(case.subject))
        seconds = estimate(need, speed, case.route.loads)
    except UnavailableError as error:
        reason = str(error)
    return Planned(case.id, need.payload, need.memory, need.disk, round(seconds, 1), reason)


def estimate(need: Budget, speed: Rates, loads: bool) -> float:
    """Return about how many seconds a case takes: every byte and weight by the machine's rates.

    Args:
        need: what there is to work on.
        speed: of this machine.
        loads: a bf16 checkpoint is written and read first.
    """
    weights = need.bf16 / 2
    drawn = 2 * need.bf16 / speed.copy  # for quantizing, and again for the comparison
    passed = need.distinct if speed.shares and not loads else weights
    quantizing = passed / speed.quantize if speed.quantize else 0.0
    # The layers are called once beside the bf16 ones, once by the writer, once by the reader.
    calling = 3 * weights / speed.forward + weights / speed.plain if speed.forward else 0.0
    digesting = 2 * need.payload / speed.copy
    files = need.payload / speed.write + 2 * need.payload / speed.read
    loading = need.bf16 / speed.write + need.bf16 / speed.read if loads else 0.0
    return STARTING + drawn + quantizing + calling + digesting + files + loading


def tokens(subject: Subject) -> int:
    """Return about how many tokens a large model is called with."""
    return int(models.inputs(subject)["encoder_hidden_states"].shape[1]) + IMAGE_TOKENS


@cache
def rates(scheme: str, device: Device, place: Path, count: int) -> Rates:
    """Measure this machine with one Linear of a scheme, called with so many tokens.

    Raises:
        UnavailableError: the scheme cannot be measured here.
    """
    from conformance.roundtrip.streamed import at_large

    require_device(device)
    found = registry.schemes()[scheme]
    config = found.resolve().config
    storage, storage_only = how_far(found, device)
    with at_large():
        general = _general(place, count, str(device))
        if storage is not None or found.whole_model:
            return Rates(quantize=0.0, forward=0.0, **general)
        linear = _of_a_linear(config, str(device), count, calls=not storage_only)
        return Rates(**general, **linear)


@cache
def _general(place: Path, count: int, device: str) -> Mapping[str, Any]:
    from conformance.roundtrip import floors

    written, read = floors.disk(place, SAMPLE)
    _, plain = _linear(device, count)
    return {"write": written, "read": read, "copy": floors.copying(), "plain": _rate(plain)}


def _linear(device: str, count: int) -> tuple[Any, Any]:
    import torch

    linear = torch.nn.Linear(SIDE, SIDE, dtype=torch.bfloat16, device=device)
    values = torch.randn(1, count, SIDE, dtype=torch.bfloat16, device=device)

    def call() -> None:
        with torch.no_grad():
            linear(values)

    return linear.requires_grad_(False), call


def _of_a_linear(config: Any, device: str, count: int, *, calls: bool) -> Mapping[str, Any]:
    from torchao.quantization import quantize_

    from conformance.roundtrip.streamed import turned_rows

    linear, call = _linear(device, count)
    quantizing = _rate(lambda: quantize_(linear, config))
    forward = _rate(call) if calls else 0.0
    shares = turned_rows(linear.weight, 1) is not None
    return {"quantize": quantizing, "forward": forward, "shares": shares}


def _rate(work: Any) -> float:
    from conformance.roundtrip import floors

    return SIDE * SIDE / floors.seconds(work)
