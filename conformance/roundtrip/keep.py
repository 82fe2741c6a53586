"""Write the checkpoints of many cases and keep them, for readers of other versions.

    python -m conformance.roundtrip.keep DIRECTORY GLOB ...

runs in the writer's environment. Standard output is for a program: a JSON line a case.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.case import Case, find, select
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.engine import TIMEOUT, EndedError, Worker
from conformance.roundtrip.kept import Index, was_written
from conformance.roundtrip.outcome import Outcome, Reader, Stage

USAGE = 2
"""The exit code of a command that was wrong; the reason is on standard error."""


def keeper(connection: Connection, workshop_directory: str) -> None:
    """Write the cases that arrive as `(case id, directory)`, until None does."""
    directory = Path(workshop_directory)
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        from conformance.roundtrip.workshop import Workshop

        workshop = Workshop(directory)
        while (request := connection.recv()) is not None:
            case_id, target = request
            work = partial(_write, find(case_id), workshop, Path(target))
            worker.answer(connection, case_id, work)


def _write(
    case: Case, workshop: Any, directory: Path, announce: Callable[[Stage], None]
) -> Outcome:
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.run import Log, kept_in
    from conformance.roundtrip.write import write

    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        written = write(case, workshop, directory, log.ladder)
        log.findings += written.findings
        log.measures |= written.measures
        log.storage_only = written.product.storage_only
    return log.outcome()


def keep(
    cases: Iterable[Case],
    directory: Path,
    timeout: float = TIMEOUT,
    target: Callable[..., None] = keeper,
) -> Generator[Outcome, None, None]:
    """Write each case once to `directory/<case id>` and yield how that ended.

    A case that hangs or dies takes nothing else with it. The index is written at the end, also
    when that comes early: it says what there is.

    Raises:
        UsageError: the libraries under test do not import.
    """
    outcomes: dict[str, Outcome] = {}
    directory.mkdir(parents=True, exist_ok=True)
    try:
        for _, group in groupby(cases, key=lambda case: case.group):
            with closing(_Writing(directory, timeout, target)) as writing:
                for case in group:
                    outcomes[case.id] = writing.write(case)
                    yield outcomes[case.id]
    finally:
        Index(observed_versions(), outcomes).save(directory)


class _Writing:
    """The writer of a group: a process with a workshop, replaced when it ends."""

    def __init__(self, directory: Path, timeout: float, target: Callable[..., None]) -> None:
        self.directory, self.timeout, self.target = directory, timeout, target
        self.workshop = Path(tempfile.mkdtemp(prefix="conformance-"))
        self._worker: Worker | None = None

    def write(self, case: Case) -> Outcome:
        """Write one case; what a failed one left behind is removed."""
        place = self.directory / case.id
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        outcome = self._ask(case, place)
        if not was_written(outcome):
            shutil.rmtree(place)
        return outcome

    def _ask(self, case: Case, place: Path) -> Outcome:
        if self._worker is None:
            self._worker = Worker(self.target, str(self.workshop))
        self._worker.send((case.id, str(place)))
        try:
            return self._worker.outcome(self.timeout)
        except EndedError as ended:
            self._worker.close()
            self._worker = None
            return Outcome(case.id, no_result=ended.no_result)

    def close(self) -> None:
        """End the process and remove its workshop."""
        if self._worker is not None:
            self._worker.close()
        shutil.rmtree(self.workshop, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Write what the globs select, and tell each case on a line of standard output."""
    parser = argparse.ArgumentParser(prog="conformance.roundtrip.keep")
    parser.add_argument("directory", type=Path)
    parser.add_argument("globs", nargs="+", metavar="GLOB")
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    asked = parser.parse_args(arguments)
    try:
        for outcome in keep(select(asked.globs), asked.directory, asked.timeout):
            print(json.dumps(outcome.to_json()), flush=True)
    except UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
