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
from dataclasses import replace
from functools import partial
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance._compat import StrEnum
from conformance.case import Case, find
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.engine import TIMEOUT, EndedError, Worker
from conformance.roundtrip.keep import USAGE
from conformance.roundtrip.kept import Readings, Request
from conformance.roundtrip.outcome import Outcome, Reader, Stage
from conformance.roundtrip.plain import by_weights

CHECKPOINT = "checkpoint"
UNSPENT = ""
Announce = Callable[[Stage], None]


class Way(StrEnum):
    """By what a checkpoint is read."""

    LOADER = "loader"
    """The case's own loader: `from_pretrained` where there is a config."""
    WEIGHTS = "weights"
    """The weight files alone."""
    CONFIG = "config"
    """The quantization that `config.json` names, alone."""


def reader(connection: Connection, log: str) -> None:
    """Read checkpoints, as `(way, case id, directory)`, until None comes."""
    with worker.at_work(Path(log)):
        if not worker.libraries_import(connection):
            return
        while (request := connection.recv()) is not None:
            way, case_id, directory = request
            imported = set(sys.modules)
            work = partial(_read, Way(way), find(case_id), Path(directory))
            worker.answer(connection, case_id, work, partial(worker.spent, imported))


def _read(way: Way, case: Case, directory: Path, announce: Announce) -> Outcome:
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.run import Log, kept_in

    if way is Way.WEIGHTS:
        case = replace(case, format=by_weights(case.format))
    log = Log(case, Ladder(Reader.FRESH, announce))
    with kept_in(log):
        if way is Way.CONFIG:
            with log.ladder.stage(Stage.LOAD):
                accept_config(quantization_of(directory) or {})
        else:
            _verify(log, directory)
    return log.outcome()


def _verify(log: Any, directory: Path) -> None:
    from conformance.roundtrip.observe import observe
    from conformance.roundtrip.record import Record
    from conformance.roundtrip.settle import condensed, excused, of_output, settled
    from conformance.roundtrip.verify import read, verify

    record = Record.load(directory)
    model = read(log.case, directory, log.ladder)
    reading = verify(log.case, directory, log.ladder, model, record)
    log.storage_only = "" if record.output else "the writer could not call the model"
    if reading.findings:
        judged = record.output is not None and reading.broken is None
        alike = not any(map(of_output, reading.findings)) or _computes_alike(log.case, record)
        findings = [each if alike else excused(each) for each in reading.findings]
        got, judged = observe(model), judged and alike
        log.findings += condensed(settled(findings, record.facts, got, output_judged=judged))
    if reading.broken is not None:
        raise reading.broken


def _computes_alike(case: Case, record: Any) -> bool:
    """Does the unquantized model give here what it gave the writer?

    Another torch may compute otherwise, and then a difference says nothing about the checkpoint.
    """
    from conformance.roundtrip.verify import reference_output

    here = reference_output(case.subject.name, str(case.device), record.seed)
    return bool(here == record.reference)


def quantization_of(directory: Path) -> dict[str, Any] | None:
    """Return the quantization that a checkpoint's `config.json` names, if it names one."""
    path = directory / CHECKPOINT / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    named = config.get("quantization_config")
    return dict(named) if named else None


def accept_config(quantization: dict[str, Any]) -> None:
    """Let diffusers make of it what it makes before it looks at a weight; it may raise."""
    import torch
    from diffusers.quantizers.auto import DiffusersAutoQuantizer

    quantizer = DiffusersAutoQuantizer.from_config(quantization, pre_quantized=True)
    quantizer.validate_environment(torch_dtype=torch.bfloat16, device_map=None)


def read_back(
    requests: Iterable[Request],
    timeout: float = TIMEOUT,
    target: Callable[..., None] = reader,
) -> Generator[Readings, None, None]:
    """Read each checkpoint every way and yield what that gave, alike checkpoints together.

    Raises:
        UsageError: the libraries under test do not import, or a case is not known.
    """
    jobs = [(find(case), each) for each in requests for case in each.cases]
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
    named = case.format.has_config and _names_a_quantization(directory)
    return Readings(
        writer=request.writer,
        case=case.id,
        loader=loader,
        weights=ask(Way.WEIGHTS) if case.format.has_config else loader,
        config=ask(Way.CONFIG) if named else None,
    )


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
            yield Request(each["writer"], Path(each["directory"]), tuple(each["cases"]))
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
