"""The two worker processes. A case that hangs or dies in one takes nothing else with it."""

import faulthandler
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from conformance.axes import registry
from conformance.axes.base import Device
from conformance.case import find
from conformance.roundtrip.gpus import give_back
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome, Progress, Stage
from conformance.roundtrip.quiet import quietly

LOG = "worker.log"
SPENT = "spent"
"""Said by a reader that has imported something while reading."""


def writer(connection: Connection, workshop_directory: str) -> None:
    """Write and verify the cases that arrive as `(case id, directory)`, until None does."""
    directory = Path(workshop_directory)
    with at_work(directory / LOG):
        if not libraries_import(connection):
            return
        from conformance.roundtrip.run import write_and_verify
        from conformance.roundtrip.workshop import Workshop

        resolve_all()
        workshop = Workshop(directory)
        while (request := connection.recv()) is not None:
            case_id, target = request
            work = partial(write_and_verify, find(case_id), workshop, Path(target))
            answer(connection, case_id, work)


def resolve_all() -> None:
    """Resolve every scheme, which imports what any of them needs.

    Otherwise what a writer can do would depend on the cases that it had before.
    """
    from conformance.roundtrip.possible import availability

    for scheme in registry.schemes().values():
        with suppress(Exception):  # a case of this scheme will say what is wrong
            availability(scheme, Device.CPU)


def reader(connection: Connection, log: str) -> None:
    """Verify checkpoints that another process wrote, as `(case id, directory)`, until None comes.

    A reader that had to import something says that it is `spent`: for another checkpoint it might
    no longer be a process that has imported nothing of what the writer imported.
    """
    with at_work(Path(log)):
        if not libraries_import(connection):
            return
        from conformance.roundtrip.run import verify_again

        while (request := connection.recv()) is not None:
            case_id, directory = request
            imported = set(sys.modules)
            work = partial(verify_again, find(case_id), Path(directory))
            answer(connection, case_id, work, partial(spent, imported))


def spent(imported: Set[str]) -> bool:
    """Has this process imported anything since, the suite's own modules aside?"""
    return any(not name.startswith("conformance") for name in sys.modules.keys() - imported)


def prober(connection: Connection, log: str) -> None:
    """Tell for every scheme and device what a case of it can give here."""
    with at_work(Path(log)):
        if not libraries_import(connection):
            return
        from conformance.roundtrip.possible import availability

        connection.send(
            {
                (scheme.name, str(device)): availability(scheme, device)
                for scheme in registry.schemes().values()
                for device in Device
            }
        )


Work = Callable[[Callable[[Stage | Progress], None]], Outcome]


def answer(
    connection: Connection, case_id: str, work: Work, last: Callable[[], bool] = lambda: False
) -> None:
    """Do the work and tell its outcome; `last` says whether the process is spent."""
    one_at_a_time = threading.Lock()

    def announce(now: Stage | Progress) -> None:
        with one_at_a_time:  # progress is told by a thread of its own
            connection.send(str(now) if isinstance(now, Stage) else now)

    try:
        # The engine is told which stage begins: a process that dies cannot tell.
        outcome = work(announce)
    except Exception:  # noqa: BLE001 - our own mistake must not cost the other cases
        reason = traceback.format_exc(limit=-6)
        outcome = Outcome(case_id, no_result=NoResult(NoResultKind.HARNESS_ERROR, reason))
    if outcome.no_result is not None and outcome.no_result.kind is NoResultKind.OUT_OF_MEMORY:
        give_back()
    if last():
        connection.send(SPENT)
    connection.send(outcome.to_json())


def raised(work: Callable[[], None]) -> str:
    """Do it, and return what it raised; an empty text for nothing."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def at_work(log: Path) -> Iterator[None]:
    """Leave Ctrl-C to the engine, and write crashes and library chatter to `log`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with quietly(log), log.open("a") as crashes:
        faulthandler.enable(crashes)
        with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the engine went away
            yield
        faulthandler.disable()


def libraries_import(connection: Connection) -> bool:
    """Tell the engine when the libraries under test do not import."""
    from conformance.roundtrip import preload

    if preload.error is not None:
        connection.send({"import_error": import_error(preload.error)})
    return preload.error is None


def import_error(error: BaseException) -> str:
    """Return one line on why the libraries do not import, with the mend.

    diffusers says of every import that it could not do it; what it was is behind that.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
        return f"{text}; install it: python -m pip install {error.name}"
    places = [
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    place = f" (in {places[-1]})" if places else ""
    return f"{text}{place}; these versions do not import together, install versions that do"
