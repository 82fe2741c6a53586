"""Stands in for `conformance/runner.py` in `toysuite`: asks toyhost what becomes of each case.

`TOY_ATTEMPTS` names a folder in which cases that fail once remember that they did.
`TOY_DIES_AT` names a case at which the whole run is killed, `TOY_WAITS_AT` one at which it waits,
`TOY_FULL_AT` one at which the disk is full.
"""

import errno
import os
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import toyhost

from conformance import session
from conformance.case import Case
from conformance.errors import UsageError
from conformance.roundtrip.keeper import write  # type: ignore[attr-defined]  # toy_keeper.py
from conformance.roundtrip.kept import Keep
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
    Step,
)

vars(session)["packaged"] = tuple
LIMIT = 0.2
SAVED = (Step(Stage.SAVE, 0.002),)


def run_cases(
    cases: Iterable[Case],
    _workers: int,
    _timeout: float,
    _told: object,
    keep: Keep | None = None,
    _gallery: object = None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each case."""
    if os.environ.get("TOY_REFUSES") == toyhost.quantizer():
        raise UsageError("the libraries under test do not import")
    known = toyhost.outcomes()
    for case in cases:
        if os.environ.get("TOY_DIES_AT") == case.id:
            os.kill(os.getpid(), signal.SIGKILL)
        if os.environ.get("TOY_WAITS_AT") == case.id:
            time.sleep(60)
        if os.environ.get("TOY_FULL_AT") == case.id:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        outcome = BEHAVIOURS[known.get(case.id, "is not there")](case.id)
        if keep is not None and outcome.steps:
            leave(case.id, keep)
        yield outcome


def leave(case: str, keep: Keep) -> None:
    """Write what a run leaves behind for the readers of an exchange."""
    with tempfile.TemporaryDirectory() as directory:
        write(case, Path(directory), lambda _: None)
        keep.take(case, Path(directory))


def passes(case: str) -> Outcome:
    return Outcome(case, SAVED)


def loads_not(case: str, key: str = "scale") -> Outcome:
    return Outcome(case, SAVED, failure=Failure(Stage.LOAD, "KeyError", f"'{key}'"))


def loads_not_otherwise(case: str) -> Outcome:
    return loads_not(case, "zero_point")


def corrupts(case: str) -> Outcome:
    where = ("a.weight/scale", "bits differ", "0", "1", Reader.BOTH)
    return Outcome(case, SAVED, findings=(Finding("bits", Stage.BITS, Harm.CORRUPT, *where),))


def is_not_there(case: str) -> Outcome:
    reason = f"toyquant {toyhost.quantizer()} does not have it"
    return Outcome(case, no_result=NoResult(NoResultKind.SKIPPED, reason, Stage.RESOLVE))


def fails_once(case: str) -> Outcome:
    try:
        Path(os.environ["TOY_ATTEMPTS"], case).touch(exist_ok=False)
    except FileExistsError:
        return passes(case)
    return loads_not(case)


def hangs(case: str) -> Outcome:
    return _ended(case, lambda: time.sleep(60))


def crashes(case: str) -> Outcome:
    return _ended(case, lambda: os.kill(os.getpid(), signal.SIGSEGV))


def _ended(case: str, what: Callable[[], None]) -> Outcome:
    """Do it in a process of its own, and say how that ended."""
    child = os.fork()
    if child == 0:
        what()
        os._exit(0)
    deadline = time.monotonic() + LIMIT
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return _stopped(case, NoResultKind.TIMEOUT, "longer than allowed")
    return _stopped(case, NoResultKind.KILLED, signal.Signals(os.WTERMSIG(status)).name)


def _stopped(case: str, kind: NoResultKind, reason: str) -> Outcome:
    return Outcome(case, SAVED, no_result=NoResult(kind, reason, Stage.LOAD))


BEHAVIOURS: dict[str, Callable[[str], Outcome]] = {
    each.__name__.replace("_", " "): each
    for each in (
        passes,
        loads_not,
        loads_not_otherwise,
        corrupts,
        is_not_there,
        fails_once,
        hangs,
        crashes,
    )
}
