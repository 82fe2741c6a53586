"""Record somebody's own checkpoint, or verify it against its record.

    python -m conformance.roundtrip.own record|verify PATH --record FILE ...

runs in the environment that is asked about, in a process of its own. Standard output is for a
program: JSON lines of how far it is, then the answer.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Family, Format, Route, Scheme, Size, Subject
from conformance.case import Case, all_cases
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip.checkpoint import (
    Asked,
    Checkpoint,
    changes,
    checkpoint_at,
    contents,
    manifest,
)
from conformance.roundtrip.ladder import HarnessError, Ladder, NoResultError
from conformance.roundtrip.meter import Meter, Tell
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome, Reader, Stage
from conformance.roundtrip.record import Record

SEED = 0
SCHEME, ROUTE = "own", "recorded"


@dataclass(frozen=True)
class Answer:
    """What came of it."""

    outcome: Outcome
    changed: tuple[str, ...] = ()
    """In what the files are another checkpoint than the recorded one; empty when they are it."""
    versions: dict[str, str] = field(default_factory=observed_versions)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return {**vars(self), "outcome": self.outcome.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Answer":
        """Rebuild from `to_json`'s dictionary."""
        return cls(Outcome.from_json(data["outcome"]), tuple(data["changed"]), data["versions"])


def case_of(checkpoint: Checkpoint, model: str) -> Case:
    """Return the case that an own checkpoint is: nothing is promised of it but what is recorded."""
    title = "as it was recorded"
    held = checkpoint.config is not None
    return Case(
        Subject(checkpoint.name, Family(SCHEME, model, _no_inputs), Size.FULL, parameters=0),
        Scheme(SCHEME, title, (), payload=lambda _: sys.maxsize, sqnr=None, reduction=1.0),
        Route(ROUTE, title, lambda model, _: model),
        Format(
            name=checkpoint.form,
            title=title,
            save=_no_save,
            load=_no_save,
            read=lambda _: contents(checkpoint.weights),
            has_config=held,
            has_requires_grad=held,
        ),
        Device.CPU,
    )


def _no_inputs(*_: object) -> dict[str, Any]:
    raise HarnessError("inputs of an own checkpoint come from its record")


def _no_save(*_: object) -> None:
    raise HarnessError("an own checkpoint is not written")


def record(asked: Asked, tell: Tell = lambda *_: None) -> Answer:
    """Write the record of a checkpoint as the installed versions read it.

    Where it cannot be read, the outcome says why and nothing is written.

    Raises:
        UsageError: there is no checkpoint, or what was asked for cannot be.
    """
    from conformance.roundtrip.own_reading import Reading
    from conformance.roundtrip.run import Log, kept_in

    checkpoint = checkpoint_at(asked.path)
    reading = Reading.to_record(asked, checkpoint)
    log = Log(case_of(checkpoint, reading.source.model), Ladder(Reader.FRESH))
    meter = Meter(tell, checkpoint.bytes * 4)
    with kept_in(log):
        with log.ladder.stage(Stage.INSPECT):
            files = manifest(checkpoint.files, meter.begin("reading files"))
            held = contents(checkpoint.weights, meter.begin("reading tensors in files"))
        reading.load(log.ladder, meter)
        facts = reading.facts(log.ladder, meter)
        output, silent = reading.first_output(log.ladder, meter)
        source = replace(reading.source, files=files, silent=silent)
        made = Record(
            case=log.case.id,
            seed=SEED,
            facts=facts,
            config=checkpoint.config,
            digests=held.digests,
            payload_bytes=held.payload or sum(each.bytes for each in facts.tensors.values()),
            file_bytes=checkpoint.sizes,
            output=output,
            reference=reading.reference(SEED) if output else None,
            versions=observed_versions(),
            source=source,
        )
        _write(made, asked.record)
        log.measures |= measures(made)
        log.storage_only = silent
    return Answer(log.outcome())


def _write(made: Record, path: Path) -> None:
    try:
        made.write(path)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot write {path} ({reason}); name another with --record") from None


def measures(record: Record) -> dict[str, float]:
    """Return the sizes of what was recorded."""
    return {
        "payload_bytes": record.payload_bytes,
        "file_bytes": sum(record.file_bytes.values()),
        "tensors": len(record.facts.tensors),
        "quantized_tensors": len(record.facts.quantized),
        "inner_tensors": sum(1 for _ in record.facts.leaves()),
    }


def verify(asked: Asked, tell: Tell = lambda *_: None) -> Answer:
    """Read a checkpoint with the installed versions and compare it with its record.

    Nothing is loaded where the files are not those that were recorded.

    Raises:
        UsageError: there is no checkpoint or record, or the record was made otherwise.
    """
    from conformance.roundtrip.own_reading import Reading
    from conformance.roundtrip.run import Log, kept_in

    checkpoint, wanted = checkpoint_at(asked.path), Record.read(asked.record)
    reading = Reading.to_verify(asked, checkpoint, wanted)
    log = Log(_case_again(checkpoint, reading.source.model, wanted), Ladder(Reader.FRESH))
    meter = Meter(tell, checkpoint.bytes * 3)
    changed: list[str] = []
    with kept_in(log):
        with log.ladder.stage(Stage.INSPECT):
            changed += changes(checkpoint, wanted, meter.begin("reading files"))
        if changed:
            raise NoResultError(another(changed))
        reading.load(log.ladder, meter)
        log.measures |= measures(wanted)
        log.storage_only = reading.source.silent
        reading.judged(log, wanted, meter)
    return Answer(replace(log.outcome(), case=wanted.case), tuple(changed))


def _case_again(checkpoint: Checkpoint, model: str, wanted: Record) -> Case:
    """Return the case; a record of the suite knows its own."""
    return all_cases().get(wanted.case) or case_of(checkpoint, model)


def another(changed: Sequence[str]) -> NoResult:
    """Return why a checkpoint that is another one was not measured."""
    reason = f"another checkpoint than the recorded one: {'; '.join(changed)}"
    return NoResult(NoResultKind.SKIPPED, reason, Stage.INSPECT)


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; an answer, also that they are wrong, is exit code 0."""
    parser = argparse.ArgumentParser(prog="conformance.roundtrip.own")
    parser.add_argument("what", choices=("record", "verify"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--class", dest="model", default="")
    for name in ("inputs", "dtype"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--no-outputs", dest="outputs", action="store_false")
    given = vars(parser.parse_args(arguments))
    work = {"record": record, "verify": verify}[given.pop("what")]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no line of ours

    def say(line: dict[str, Any]) -> None:
        answers.write(f"{json.dumps(line)}\n")
        answers.flush()

    _one_thread()
    try:
        answer = work(Asked(**given), lambda *far: say({"far": far}))
        say({"answer": _with_peak(answer).to_json()})
    except UsageError as error:
        say({"usage": str(error)})
    return 0


def _with_peak(answer: Answer) -> Answer:
    """Add the most memory that this process had, mapped files included."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = {**answer.outcome.measures, "peak_bytes": kibibytes * 1024}
    return replace(answer, outcome=replace(answer.outcome, measures=measured))


def _one_thread() -> None:
    """Compute as any other machine does: how a sum is split over threads changes its last bits."""
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
