"""Put mutations on disk one after the other, and have a reader read each."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.axes.files import weight_files
from conformance.case import Case
from conformance.damage import writing
from conformance.damage.desk import Desk
from conformance.damage.fate import Reading, Result, result
from conformance.damage.mutation import Files, Mutation
from conformance.damage.reading import MARK, reader
from conformance.damage.regions import is_safetensors
from conformance.damage.tensorfiles import canonical
from conformance.errors import UsageError
from conformance.inspection.readers import table
from conformance.inspection.sources import SUFFIXES, Folder
from conformance.inspection.whole import checkpoints
from conformance.roundtrip import worker
from conformance.roundtrip.checkpoint import contents
from conformance.roundtrip.engine import EndedError, Worker
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.outcome import Failure, NoResultKind

TIMEOUT = 30.0
"""Seconds for one reading; an undamaged one takes a tenth of one."""
WRITING = 300.0
"""Seconds for writing one checkpoint."""
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Target:
    """A checkpoint that is to be damaged, and an earlier save of other weights."""

    case: Case
    files: Files
    stale: Files


@dataclass(frozen=True)
class Unwritten:
    """A case of which there is no checkpoint, and why."""

    case: Case
    reason: str


def targets(cases: list[Case]) -> Iterator[Target | Unwritten]:
    """Write each case and yield its files.

    Raises:
        UsageError: the libraries under test do not import.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        process = Worker(writing.writer, name)
        try:
            for case in cases:
                yield _written(process, case, Path(name) / case.id)
        finally:
            process.close()


def _written(process: Worker, case: Case, place: Path) -> Target | Unwritten:
    process.send((case.id, str(place)))
    try:
        outcomes = [process.outcome(WRITING) for _ in writing.SEEDS]
    except EndedError as ended:
        raise UsageError(f"writing {case.id}: {ended}; leave it out") from None
    for broken in (each.failure or each.no_result for each in outcomes):
        if broken is not None:
            said = broken.message if isinstance(broken, Failure) else broken.reason
            return Unwritten(case, said.strip().partition("\n")[0])
    whole, stale = (files_in(place / name / CHECKPOINT) for name in writing.SEEDS)
    return Target(case, whole, stale)


def files_in(directory: Path) -> dict[str, bytes]:
    """Return the files of a directory, those of safetensors with their metadata in order."""
    found = {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
    return {n: canonical(data) if is_safetensors(n) else data for n, data in found.items()}


def lay(files: Files, directory: Path) -> None:
    """Make the directory hold these files and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, data in files.items():
        (directory / name).write_bytes(data)


class Bench:
    """One reader at work; a dead, bloated or spoiled one is replaced."""

    def __init__(self, timeout: float = TIMEOUT, target: Any = reader) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="conformance-"))
        self.desk = Desk(target, self.place / worker.LOG, timeout)
        self._wanted: dict[str, Reading] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.desk.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def results(self, target: Target, mutations: list[Mutation]) -> list[Result]:
        """Read each mutation and judge it; a reader that one of them spoiled counts for none.

        Raises:
            HarnessError: the undamaged checkpoint is not read twice alike.
        """
        wanted = self._control(target)
        found = [self._judged(target, each, wanted) for each in mutations]
        if self._read(target, target.files) == wanted:
            return found
        return [self._alone(target, each, wanted) for each in mutations]

    def _alone(self, target: Target, mutation: Mutation, wanted: Reading) -> Result:
        """Read in a process of its own, and see whether it reads the undamaged one afterwards."""
        self.desk.close()
        found = self._judged(target, mutation, wanted)
        spoils = self._read(target, target.files) != wanted
        self.desk.close()
        return replace(found, spoils=spoils)

    def _control(self, target: Target) -> Reading:
        case = target.case.id
        if case not in self._wanted:
            first, second = (self._read(target, target.files) for _ in range(2))
            if first.tensors is None or first != second:
                said = first.error and ": ".join(first.error)
                said = said or str(first.no_result or "two readings differ")
                raise HarnessError(f"{case} is not read as it was written: {said}")
            self._wanted[case] = first
        return self._wanted[case]

    def _judged(self, target: Target, mutation: Mutation, wanted: Reading) -> Result:
        damaged = mutation.apply(target.files)
        if damaged == target.files:
            raise HarnessError(f"{mutation.id} of {target.case.id} changes nothing")
        got = self._read(target, damaged)
        if got.no_result and got.no_result.kind is NoResultKind.OUT_OF_MEMORY:
            got = self._read(target, damaged)  # without what earlier readings left behind
        seen = inspected(self.place / CHECKPOINT)
        names = (str(mutation.kind), mutation.name)
        found = result(target.case.id, names, wanted, got, inspected=seen)
        return replace(found, ran=self._ran())

    def _ran(self) -> bool:
        """Did the reader execute what a pickle holds? The next one begins without a trace."""
        mark = self.place / MARK
        there = mark.exists()
        mark.unlink(missing_ok=True)
        return there

    def _read(self, target: Target, files: Files) -> Reading:
        """Read files; in a new process after the undamaged ones, which make it warn of imports."""
        if self.desk.new:
            self._asked(target, target.files)
        return self._asked(target, files)

    def _asked(self, target: Target, files: Files) -> Reading:
        lay(files, self.place / CHECKPOINT)
        return self.desk.read((target.case.id, str(self.place / CHECKPOINT)))


def inspected(directory: Path) -> bool:
    """Does the suite itself see that something is wrong, without loading anything?

    It must survive whatever lies there. What it reads of weight files for a record is read, too.
    """
    try:
        found = list(checkpoints(Folder(directory), table().names))
    except UsageError:
        return True
    with suppress(ValueError):
        contents(tuple(weight_files(directory, *SUFFIXES)))
    return not found or any(each.wrong for each in found)
