"""Read checkpoints that other environments wrote, and verify them against their records.

    python -m conformance.roundtrip.readback < requests.json

runs in the reader's environment. Standard input is a JSON list of requests (`writer`, `directory`,
`cases`), standard output is for a program: first the observed versions, then a line a checkpoint.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby
from pathlib import Path

from conformance.case import Case, find, require_inert
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.engine import TIMEOUT, EndedError, Worker
from conformance.roundtrip.keep import USAGE
from conformance.roundtrip.kept import Readings, Request, Way, quantization_of, spared
from conformance.roundtrip.outcome import Harm, Outcome
from conformance.roundtrip.reading import reader

UNSPENT = ""


def read_back(
    requests: Iterable[Request],
    timeout: float = TIMEOUT,
    target: Callable[..., None] = reader,
) -> Generator[Readings, None, None]:
    """Read each checkpoint every way and yield what that gave, alike checkpoints together.

    Raises:
        UsageError: the libraries under test do not import, a case is not known, or reading it
            would execute what is in its file.
    """
    jobs = [(find(case), each) for each in requests for case in each.cases]
    require_inert(case for case, _ in jobs)
    jobs.sort(key=lambda job: _alike(job[0]))
    with closing(_Readers(timeout, target)) as readers:
        for _, group in groupby(jobs, key=lambda job: _alike(job[0])):
            for case, request in group:
                yield _readings(readers, case, request)
            readers.dismiss()


def _alike(case: Case) -> tuple[str, str, str]:
    """What a reader imports on the way is the same for these, whoever wrote them."""
    return case.scheme.name, case.route.name, case.format.name


def _readings(readers: "_Readers", case: Case, request: Request) -> Readings:
    directory = request.directory / case.id
    ask = partial(readers.ask, case=case, directory=directory)
    loader = ask(Way.LOADER)
    if request.sparing and case.format.has_config and _harmless(loader):
        return Readings(request.writer, case.id, loader, spared(case.id))
    named = case.format.has_config and _names_a_quantization(directory)
    # Beside the weights of an altered model there may be more of it, as adapters are.
    apart = case.format.has_config and case.format.alters is None
    return Readings(
        writer=request.writer,
        case=case.id,
        loader=loader,
        weights=ask(Way.WEIGHTS) if apart else loader,
        config=ask(Way.CONFIG) if named else None,
    )


def _harmless(reading: Outcome) -> bool:
    ended = reading.failure or reading.no_result
    return not ended and all(each.harm is not Harm.CORRUPT for each in reading.findings)


def _names_a_quantization(directory: Path) -> bool:
    """Is there anything to ask? A config that is no JSON is worth asking about, too."""
    try:
        return quantization_of(directory) is not None
    except ValueError:
        return True


class _Readers:
    """Reader processes: one that imported nothing yet, and one a way for those that did."""

    def __init__(self, timeout: float, target: Callable[..., None]) -> None:
        self.timeout, self.target = timeout, target
        self._directory = tempfile.TemporaryDirectory(prefix="conformance-")
        self._idle: dict[str, Worker] = {}

    def ask(self, way: Way, case: Case, directory: Path) -> Outcome:
        """Read a checkpoint one way; a process that hangs or dies is replaced."""
        found = self._idle.pop(way, None) or self._idle.pop(UNSPENT, None) or self._another()
        found.send((str(way), case.id, str(directory)))
        try:
            outcome = found.outcome(self.timeout)
        except EndedError as ended:
            found.close()
            return Outcome(case.id, no_result=ended.no_result)
        self._idle[way if found.spent else UNSPENT] = found
        return outcome

    def _another(self) -> Worker:
        return Worker(self.target, str(Path(self._directory.name) / worker.LOG))

    def dismiss(self) -> None:
        """End the processes that imported something: the next checkpoint is of another kind."""
        for way in self._idle.keys() - {UNSPENT}:
            self._idle.pop(way).close()

    def close(self) -> None:
        """End all processes."""
        self.dismiss()
        for each in self._idle.values():
            each.close()
        self._directory.cleanup()


def read_requests(text: str) -> Iterator[Request]:
    """Parse the requests.

    Raises:
        UsageError: they are not what `readback` takes.
    """
    try:
        for each in json.loads(text):
            cases, sparing = tuple(each["cases"]), bool(each.get("sparing"))
            yield Request(each["writer"], Path(each["directory"]), cases, sparing)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"not a list of requests: {error!r}") from None


def main(arguments: Sequence[str]) -> int:
    """Read what standard input asks for."""
    parser = argparse.ArgumentParser(prog="conformance.roundtrip.readback")
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    asked = parser.parse_args(arguments)
    try:
        requests = list(read_requests(sys.stdin.read()))
        print(json.dumps({"versions": observed_versions()}), flush=True)
        for readings in read_back(requests, asked.timeout):
            print(json.dumps(readings.to_json()), flush=True)
    except UsageError as error:
        print(error, file=sys.stderr)
        return USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
