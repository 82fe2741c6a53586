"""Run cases in worker processes: torch is imported once, beside us, and forked from there.

Every case is written and verified in a writer, and verified again in a reader. The writer stays
as long as it lives; it resolves every scheme when it starts, so what it has imported does not
depend on the cases before. A reader that had to import something while reading is no longer fresh:
it reads only other formats of the same quantized model, by the same loader, and is then replaced.
"""

import multiprocessing
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from conformance.axes.base import Size
from conformance.case import Case
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.gallery import Gallery
from conformance.roundtrip.gpus import at_turn
from conformance.roundtrip.kept import Keep
from conformance.roundtrip.merge import merge, worth_reading
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome, Progress, Stage
from conformance.roundtrip.premises import Premises, turn_of_a_large_case

UNSPENT = ""
TIMEOUT = 300.0
"""Seconds that a worker may take for one case."""
SECONDS_PER_PARAMETER = 6e-8
"""More of them for a large model: one of 10 G parameters gets ten minutes."""
WAITING = Progress("waiting for another large case", 0, 0)
BROKEN_OFF = NoResult(NoResultKind.KILLED, "the run was broken off before it began")
Told = Callable[[Progress], None]


def start_method() -> str:
    """Fork from a server that has imported torch, where the platform can; else start anew."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def context(*preload: str) -> Any:
    """Return the multiprocessing context of the workers.

    What is to be imported before they are forked counts only until the first of them is started.
    """
    chosen = multiprocessing.get_context(start_method())
    if start_method() == "forkserver":
        chosen.set_forkserver_preload(["__main__", "conformance.roundtrip.preload", *preload])
    return chosen


def is_large(case: Case) -> bool:
    """Does the case need most of a machine?"""
    return case.subject.size is Size.FULL


def patience(case: Case) -> float:
    """Return the seconds that a case may take beyond the limit, by the size of its model."""
    return case.subject.parameters * SECONDS_PER_PARAMETER if is_large(case) else 0.0


def loaded_alike(case: Case) -> str:
    """Say which cases a reader may read one after the other, whatever it imported for the first.

    What a format imports that is not usual is its own: another one might not have.
    """
    loader = case.format.has_config if case.format.usual else case.format.name
    return f"{case.quantized}.{loader}"


class EndedError(Exception):
    """A worker died or took too long."""

    def __init__(self, no_result: NoResult) -> None:
        super().__init__(no_result.reason)
        self.no_result = no_result


def explained(ended: EndedError) -> EndedError:
    """Say of a large case what it usually means when the process was killed."""
    what = ended.no_result
    if not what.reason.endswith(signal.SIGKILL.name):
        return ended
    reason = f"{what.reason}: the system does so when memory runs out"
    return EndedError(replace(what, reason=reason))


class Worker:
    """A process that answers over a pipe."""

    def __init__(
        self,
        target: Callable[..., None],
        *arguments: str,
        preload: Iterable[str] = (),
        turn: int = 0,
    ) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        start = context(*preload).Process
        work = (turn, target, theirs, *arguments)
        self.process = start(target=at_turn, args=work, daemon=True)
        self.process.start()
        theirs.close()
        self.spent = False
        """Has it imported something while it worked?"""

    def outcome(self, timeout: float, told: Told = lambda _: None) -> Outcome:
        """Wait for the outcome of the case that the worker has; `told` hears how far it is.

        Raises:
            EndedError: it died by a signal or took longer than `timeout` seconds.
            UsageError: the libraries under test do not import.
        """
        deadline, stage = time.monotonic() + timeout, None
        while not isinstance(message := self.receive(deadline - time.monotonic(), stage), dict):
            if isinstance(message, Progress):
                told(message)
            elif message == worker.SPENT:
                self.spent = True
            else:
                stage = Stage(message)
        return Outcome.from_json(message)

    def receive(self, timeout: float, stage: Stage | None = None) -> Any:
        """Wait for the next message.

        Raises:
            EndedError, UsageError: see `outcome`.
        """
        if not self.connection.poll(max(0.0, timeout)):
            self.kill()
            raise EndedError(NoResult(NoResultKind.TIMEOUT, "the time for a case is over", stage))
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise EndedError(self._death(stage)) from None
        if isinstance(message, dict) and "import_error" in message:
            raise UsageError(message["import_error"])
        return message

    def send(self, request: Any) -> None:
        """Give the worker a request; a dead one is noticed when it should answer."""
        try:
            self.connection.send(request)
        except OSError:  # it ended, or was killed: then our end of the pipe is closed, too
            return

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def ended(self) -> bool:
        """Has the process ended? Then nothing of it is kept."""
        if self.process.is_alive():
            return False
        self.connection.close()
        self.process.close()
        return True

    def close(self) -> None:
        """Let the process end by itself, and end it if it does not."""
        self.send(None)
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _death(self, stage: Stage | None) -> NoResult:
        self.process.join()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return NoResult(NoResultKind.KILLED, f"the process ended by {how}", stage)


class Engine:
    """Runs cases one after another; best in the order of their groups."""

    def __init__(
        self,
        timeout: float = TIMEOUT,
        writer: Callable[..., None] = worker.writer,
        reader: Callable[..., None] = worker.reader,
        told: Callable[[str, Progress], None] = lambda _case, _progress: None,
        keep: Keep | None = None,
        gallery: Gallery | None = None,
        turn: int = 0,
    ) -> None:
        self.timeout = timeout
        self._turn = turn  # of several engines, for the choice of a GPU
        self._keep, self._gallery = keep, gallery
        self._writer, self._reader = writer, reader
        self._told = told
        self._premises = Premises.occupy()
        self.directory = self._premises.directory
        self._busy: Worker | None = None
        self._broken_off = threading.Event()
        self._at_work: Worker | None = None
        self._readers: dict[str, Worker] = {}
        self._dismissed: list[Worker] = []
        self._count = 0
        self._preload: tuple[str, ...] = ()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and remove every file."""
        if self._at_work is not None:
            self._at_work.close()
        for reader in (*self._readers.values(), *self._dismissed):
            reader.close()
        self._premises.leave()

    def break_off(self) -> None:
        """Kill the process that works on a case, from another thread: nobody waits for it.

        Nor does another large case begin.
        """
        self._broken_off.set()
        if self._busy is not None:
            self._busy.process.kill()

    def run(self, case: Case) -> Outcome:
        """Run one case in both processes and return what it gave.

        Raises:
            UsageError: the libraries under test do not import.
        """
        self._count += 1
        self._preload = preload_of(case)
        target = self.directory / f"{self._count}"
        target.mkdir()
        try:
            with self._turn_for(case) as wanted:
                if not wanted:
                    return Outcome(case.id, no_result=BROKEN_OFF)
                same = self._write(case, target)
                outcome = merge(same, self._read(case, target)) if worth_reading(same) else same
            if self._keep is not None:
                self._keep.take(case.id, target)
            return outcome if self._gallery is None else self._gallery.hang(outcome, target)
        finally:
            shutil.rmtree(target, ignore_errors=True)

    def _turn_for(self, case: Case) -> AbstractContextManager[bool]:
        """Return what holds the machine for a large case, and whether the case is still wanted."""
        if not is_large(case):
            return nullcontext(enter_result=True)
        waiting = partial(self._told, case.id, WAITING)
        return turn_of_a_large_case(lambda: not self._broken_off.is_set(), waiting)

    def _answer(self, busy: Worker, case: Case) -> Outcome:
        self._busy = busy
        if self._broken_off.is_set():  # it was, before there was a process to kill
            busy.process.kill()
        try:
            return busy.outcome(self.timeout + patience(case), partial(self._told, case.id))
        except EndedError as ended:
            raise (explained(ended) if is_large(case) else ended) from None
        finally:
            self._busy = None

    def _write(self, case: Case, target: Path) -> Outcome:
        writer = self._at_work = self._at_work or self._new_writer()
        writer.send((case.id, str(target)))
        try:
            return self._answer(writer, case)
        except EndedError as ended:
            writer.close()
            self._at_work = None
            return Outcome(case.id, no_result=ended.no_result)

    def _new_writer(self) -> Worker:
        """Start a writer in an empty workshop: a dead one may have left half a model."""
        directory = self.directory / "workshop"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return Worker(self._writer, str(directory), preload=self._preload, turn=self._turn)

    def _read(self, case: Case, target: Path) -> Outcome:
        alike = loaded_alike(case)
        reader = self._reader_for(alike)
        reader.send((case.id, str(target)))
        try:
            outcome = self._answer(reader, case)
        except EndedError as ended:
            reader.close()
            return Outcome(case.id, no_result=ended.no_result)
        except UsageError:
            reader.close()
            raise
        self._readers[alike if reader.spent else UNSPENT] = reader
        if UNSPENT not in self._readers:  # it gets ready while the next case is written
            self._readers[UNSPENT] = self._new_reader()
        return outcome

    def _reader_for(self, alike: str) -> Worker:
        """Take a reader that imported nothing yet, or only what it read such a checkpoint with."""
        for other in self._readers.keys() - {alike, UNSPENT}:
            self._dismiss(self._readers.pop(other))
        for key in (alike, UNSPENT):
            if key in self._readers:
                return self._readers.pop(key)
        return self._new_reader()

    def _new_reader(self) -> Worker:
        log = str(self.directory / worker.LOG)
        return Worker(self._reader, log, preload=self._preload, turn=self._turn)

    def _dismiss(self, reader: Worker) -> None:
        """Let a reader end while others work, and forget those that have ended."""
        reader.send(None)
        self._dismissed = [each for each in self._dismissed if not each.ended()]
        self._dismissed.append(reader)


def preload_of(case: Case) -> tuple[str, ...]:
    """Return what the workers import beside what every case needs."""
    return () if case.subject.pipeline is None else ("conformance.roundtrip.preload_pipelines",)


def probe() -> dict[tuple[str, str], str]:
    """Return by scheme and device what a case can give here, asked in a worker.

    Raises:
        UsageError: the libraries under test do not import, or do not survive the question.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        prober = Worker(worker.prober, f"{directory}/{worker.LOG}")
        try:
            answer: dict[tuple[str, str], str] = prober.receive(TIMEOUT)
        except EndedError as ended:
            raise UsageError(
                f"torchao cannot be asked for its schemes: {ended}; does `import torchao` work?"
            ) from None
        finally:
            prober.close()
        return answer
