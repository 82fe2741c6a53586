"""An engine that knows its answers, so that the faces are tested without torch.

`pytest -p stand_in` puts it in the place of the real one, with no expectations but those given.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterable, Iterator

import pytest

from conformance.axes.base import Device
from conformance.case import Case
from conformance.judging.results import ResultsWriter
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Progress,
    Stage,
    Step,
)

CTRL_C = "STAND_IN_CTRL_C"
"""The format at which somebody presses Ctrl-C."""
FULL = "STAND_IN_FULL"
"""The format at which the disk is full: in a worker process."""
FULL_HERE = "STAND_IN_FULL_HERE"
"""The format at which the disk is full for the engine itself."""
FULL_RESULTS = "STAND_IN_FULL_RESULTS"
"""The format from whose case on no room is left for the results; or `FOOTER`."""
FOOTER = "footer"
TELLS = "STAND_IN_TELLS"
"""The format whose case tells how far it is."""

STEPS = (Step(Stage.SAVE, 0.002), Step(Stage.LOAD, 0.003), Step(Stage.STRUCTURE, 0.001))
ALTERED = tuple(
    Finding("requires_grad", Stage.STRUCTURE, Harm.ALTERED, path, "came back True", "False", "True")
    for path in ("proj_in.weight", "proj_out.weight")
)
BROKEN = Failure(
    Stage.SAVE, "RuntimeError", "[red]no storage[/red]", "Traceback <b>", leftovers=("x",)
)

KNOWN_BUG = """
[[expectation]]
name = "shards-require-grad"
kind = "known-bug"
cases = ["*.pickle-sharded.cpu"]
stage = "structure"
check = "requires_grad"
what = "came back True"
reason = "A stand-in's bug."
issue = "https://example.org/1"
"""
OBSOLETE = KNOWN_BUG.replace("shards-require-grad", "mended").replace(
    "pickle-sharded", "state-dict"
)


def answer(case: Case) -> Outcome:
    """CUDA is missing, shards are altered, safetensors cannot be saved; the rest passes."""
    if case.device is not Device.CPU:
        return Outcome(case.id, no_result=NoResult(NoResultKind.SKIPPED, "no CUDA", Stage.RESOLVE))
    if case.format.name == "pickle-sharded":
        return Outcome(case.id, STEPS, findings=ALTERED)
    if case.format.name == "safetensors":
        return Outcome(case.id, STEPS[:1], failure=BROKEN)
    return Outcome(case.id, STEPS)


def answers(cases: Iterable[Case], *_: object) -> Iterator[Outcome]:
    """Stands in for `conformance.runner.run_cases`."""
    yield from map(answer, cases)


class StandIn:
    """Stands in for `conformance.roundtrip.engine.Engine`."""

    def __init__(
        self, timeout: float, told: Callable[[str, Progress], None] = lambda *_: None, **_: object
    ) -> None:
        self.timeout = timeout
        self.told = told

    def __enter__(self) -> "StandIn":
        return self

    def __exit__(self, *raised: object) -> None:
        return None

    def run(self, case: Case) -> Outcome:
        if os.environ.get(CTRL_C) == case.format.name:
            in_worker = "PYTEST_XDIST_WORKER" in os.environ
            os.kill(os.getppid() if in_worker else os.getpid(), signal.SIGINT)
            signal.pause() if in_worker else None
        if os.environ.get(FULL) == case.format.name:
            reason = "No space left on device: [Errno 28]"
            return Outcome(case.id, no_result=NoResult(NoResultKind.HARNESS_ERROR, reason))
        if os.environ.get(FULL_HERE) == case.format.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if os.environ.get(TELLS) == case.format.name:
            self.told(case.id, Progress("save", 0, 10))
            self.told(case.id, Progress("save", 5, 10))
        return answer(case)


def _settle(writer: ResultsWriter) -> None:
    """Stands in for the writing of a line: it fails again when the file is closed."""
    pending = writer._pending
    named = os.environ.get(FULL_RESULTS)
    if f".{named}." in pending[2].case if pending else named == FOOTER:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    WRITES(writer)


WRITES = ResultsWriter._settle
PLACES = pytest.StashKey[pytest.MonkeyPatch]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    places = config.stash[PLACES] = pytest.MonkeyPatch()
    places.setattr("conformance.roundtrip.engine.Engine", StandIn)
    places.setattr("conformance.session.packaged", tuple)
    places.setattr(ResultsWriter, "_settle", _settle)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the places back: a run may be inside another one."""
    config.stash[PLACES].undo()
