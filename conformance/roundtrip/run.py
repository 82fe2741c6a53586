"""Run a case: what happens in the writing process, what in the fresh one, and both together."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.case import Case
from conformance.roundtrip.held import Held
from conformance.roundtrip.ladder import BrokenError, Ladder, NoResultError
from conformance.roundtrip.outcome import Failure, Finding, NoResult, Outcome, Reader, Stage
from conformance.roundtrip.record import Record
from conformance.roundtrip.verify import read, resave, unread, verify
from conformance.roundtrip.workshop import Workshop
from conformance.roundtrip.write import write

Announce = Callable[[Stage], None]


@dataclass
class Log:
    """What is known of a case so far: kept when a later stage breaks."""

    case: Case
    ladder: Ladder
    findings: list[Finding] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    storage_only: str = ""
    failure: Failure | None = None
    no_result: NoResult | None = None

    def outcome(self) -> Outcome:
        """Freeze it."""
        reader = self.ladder.reader
        return Outcome(
            case=self.case.id,
            steps=tuple(self.ladder.steps),
            findings=tuple(replace(each, reader=reader) for each in self.findings),
            failure=self.failure,
            no_result=self.no_result,
            storage_only=self.storage_only,
            measures=self.measures,
        )


def write_and_verify(
    case: Case, workshop: Workshop, directory: Path, announce: Announce
) -> Outcome:
    """Write the case's checkpoint and verify it in the same process."""
    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        _write(log, workshop, directory)
        _verify(log, directory, Record.load(directory))
    return log.outcome()


def write_only(case: Case, workshop: Workshop, directory: Path, announce: Announce) -> Outcome:
    """Write the case's checkpoint for readers that come later."""
    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        _write(log, workshop, directory)
    return log.outcome()


def verify_again(case: Case, directory: Path, announce: Announce) -> Outcome:
    """Verify a checkpoint that another process wrote, then save it twice more."""
    log = Log(case, Ladder(Reader.FRESH, announce))
    with kept_in(log):
        record = Record.load(directory)
        got = _verify(log, directory, record)
        log.findings += resave(case, directory, log.ladder, got, record)
    return log.outcome()


def _write(log: Log, workshop: Workshop, directory: Path) -> None:
    written = write(log.case, workshop, directory, log.ladder)
    log.findings += written.findings
    log.measures |= written.measures
    log.storage_only = written.product.storage_only or unread(log.case)


def _verify(log: Log, directory: Path, record: Record) -> Held:
    got = read(log.case, directory, log.ladder)
    reading = verify(log.case, directory, log.ladder, got, record)
    log.findings += reading.findings
    log.measures |= reading.measures
    if reading.broken is not None:
        raise reading.broken
    return got


@contextmanager
def kept_in(log: Log) -> Iterator[None]:
    """Write how a case ended into its log, which survives."""
    try:
        yield
    except BrokenError as error:
        log.failure = error.failure
    except NoResultError as error:
        log.no_result = error.no_result
