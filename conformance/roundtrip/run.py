"""Run a case: what happens in the writing process, what in the fresh one, and both together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.case import Case
from conformance.roundtrip import floors
from conformance.roundtrip.budget import budget, require_room
from conformance.roundtrip.footprint import Footprint
from conformance.roundtrip.gpus import give_back
from conformance.roundtrip.held import Held
from conformance.roundtrip.ladder import BrokenError, Ladder, NoResultError
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    NoResult,
    Outcome,
    Progress,
    Reader,
    Stage,
)
from conformance.roundtrip.possible import how_far, require_device, require_time
from conformance.roundtrip.ratios import reading_ratios, writing_ratios
from conformance.roundtrip.record import Record
from conformance.roundtrip.streamed import at_large, is_streamed
from conformance.roundtrip.verify import read, resave, unread, verify
from conformance.roundtrip.workshop import Workshop
from conformance.roundtrip.write import CHECKPOINT, write

Announce = Callable[[Stage | Progress], None]


@dataclass
class Log:
    """What is known of a case so far: kept when a later stage breaks."""

    case: Case
    ladder: Ladder
    findings: list[Finding] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
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
            files=self.files,
        )


def write_and_verify(
    case: Case, workshop: Workshop, directory: Path, announce: Announce
) -> Outcome:
    """Write the case's checkpoint and verify it in the same process.

    Of a large model there must not be two: it is put away, and the fresh reader alone verifies it.
    """
    if is_streamed(case.subject):
        return _write_large(case, workshop, directory, announce)
    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        _write(log, workshop, directory)
        _verify(log, directory, Record.load(directory))
    return log.outcome()


def _write_large(case: Case, workshop: Workshop, directory: Path, announce: Announce) -> Outcome:
    log = _large_log(case, Reader.SAME, announce)
    try:
        with kept_in(log), at_large():
            log.measures.update(_floors(log, workshop))
            _write(log, workshop, directory)
            rate = floors.reading(directory / CHECKPOINT)
            log.measures.update(writing_ratios(log.measures, rate))
    finally:
        workshop.put_away()
    return log.outcome()


def _floors(log: Log, workshop: Workshop) -> dict[str, float]:
    """Measure how fast this machine is, before anything large is there."""
    case, device = log.case, log.case.device.writer
    with log.ladder.stage(Stage.RESOLVE):
        require_device(device)
        need = budget(case)
        require_room(need, workshop.directory, device)
        storage, _ = how_far(case.scheme, device)
        config = case.scheme.resolve().config
        require_time(case)
    with log.ladder.stage(Stage.BUILD):
        quantizes = storage is None and not case.scheme.whole_model
        config = config if quantizes else None
        return floors.measure(workshop.directory, need.payload, config, str(device))


def _large_log(case: Case, reader: Reader, announce: Announce) -> Log:
    footprint = Footprint(lambda *told: announce(Progress(*told)))
    # What was measured before a stage broke is kept, too.
    return Log(case, Ladder(reader, announce, footprint=footprint), measures=footprint.measures)


def write_only(case: Case, workshop: Workshop, directory: Path, announce: Announce) -> Outcome:
    """Write the case's checkpoint for readers that come later."""
    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        _write(log, workshop, directory)
    return log.outcome()


def verify_again(case: Case, directory: Path, announce: Announce) -> Outcome:
    """Verify a checkpoint that another process wrote, then save it twice more, if it is small."""
    if is_streamed(case.subject):
        return _verify_large(case, directory, announce)
    log = Log(case, Ladder(Reader.FRESH, announce))
    with kept_in(log):
        record = Record.load(directory)
        got = _verify(log, directory, record)
        log.findings += resave(case, directory, log.ladder, got, record)
    return log.outcome()


def _verify_large(case: Case, directory: Path, announce: Announce) -> Outcome:
    log = _large_log(case, Reader.FRESH, announce)
    try:
        with kept_in(log), at_large():
            record = Record.load(directory)
            _verify(log, directory, record)
            rate = floors.reading(directory / CHECKPOINT)
            log.measures.update(reading_ratios(log.measures, rate, record.payload_bytes))
    finally:
        give_back()  # the reader may get another one
    return log.outcome()


def _write(log: Log, workshop: Workshop, directory: Path) -> None:
    written = write(log.case, workshop, directory, log.ladder)
    log.findings += written.findings
    log.measures |= written.measures
    log.files = written.record.file_bytes
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
