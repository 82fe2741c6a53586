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
from pathlib import Path

from conformance.case import Case, select
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip.engine import TIMEOUT, EndedError, Worker
from conformance.roundtrip.keeper import keeper
from conformance.roundtrip.kept import Index, was_written
from conformance.roundtrip.outcome import Outcome

USAGE = 2
"""The exit code of a command that was wrong; the reason is on standard error."""


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
        with closing(_Writing(directory.absolute(), timeout, target)) as writing:
            for case in cases:
                outcomes[case.id] = writing.write(case)
                yield outcomes[case.id]
    finally:
        Index(observed_versions(), outcomes).save(directory)


class _Writing:
    """One process with a workshop, and another with an empty one when it hangs or dies."""

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
            self._worker = self._another()
        self._worker.send((case.id, str(place)))
        try:
            return self._worker.outcome(self.timeout)
        except EndedError as ended:
            self._worker.close()
            self._worker = None
            return Outcome(case.id, no_result=ended.no_result)

    def _another(self) -> Worker:
        """Start one in an empty workshop: a dead one may have left half a model."""
        shutil.rmtree(self.workshop, ignore_errors=True)
        self.workshop.mkdir()
        return Worker(self.target, str(self.workshop))

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
