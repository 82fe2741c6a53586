"""May we upgrade, for checkpoints of our own? Recorded by the baseline, verified by both sides."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.environment import hardware
from conformance.errors import UsageError
from conformance.judging.comparison import Comparison, Side
from conformance.judging.judge import judge
from conformance.judging.results import (
    Header,
    Results,
    ResultsWriter,
    Selection,
    read_results,
)
from conformance.roundtrip.checkpoint import BESIDE, NOT_ASKED, Asked, checkpoint_at, record_of
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome
from conformance.roundtrip.own import Answer
from conformance.roundtrip.own import measures as sizes
from conformance.roundtrip.record import Record
from conformance.versions.gate import BASELINE, CANDIDATE, RETRY, Sides
from conformance.versions.own import DiedError, Far, ask
from conformance.versions.party import Party
from conformance.versions.runs import RunError

Shown = Callable[[str], AbstractContextManager[Far]]
"""Takes what begins; gives what is told how far it is."""


@dataclass(frozen=True)
class Checked:
    """The checkpoints of a gate, and who reads them."""

    asked: Sequence[Asked]
    baseline: Party | None
    """None: the records that lie there say what the baseline gave."""
    candidate: Party
    directory: Path
    shown: Shown

    def file(self, name: str) -> Path:
        """Return where the results of a side go."""
        return self.directory / f"{name}.jsonl"


def asked_of(
    paths: Sequence[Path], common: Asked, directory: Path, *, recorded: bool
) -> list[Asked]:
    """Return what is asked about every checkpoint; where nobody records it, its record is there.

    Raises:
        UsageError: there is no such checkpoint, no record, or two would have one name.
    """
    names = [checkpoint_at(path).name for path in paths]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"two checkpoints are called {sorted(twice)[0]}; gate them one by one")
    places = [
        record_of(path) if recorded else directory / f"{name}{BESIDE}"
        for path, name in zip(paths, names, strict=True)
    ]
    return [
        replace(common, path=path.absolute(), record=place.absolute())
        for path, place in zip(paths, places, strict=True)
    ]


def measured(gate: Checked) -> Sides:
    """Have the baseline record and read again, or believe the records; then the candidate reads.

    Raises:
        UsageError: something cannot be read as it was asked for.
        RunError: the baseline cannot read one, or it is another checkpoint than was recorded.
    """
    known = [_recorded(gate, asked) for asked in gate.asked]
    first = known[0]
    if any(each.versions != first.versions for each in known):
        raise RunError("the records were made with different versions; gate them one by one")
    before = [_before(gate, *pair) for pair in zip(gate.asked, known, strict=True)]
    machine = first.source.hardware if first.source else {}
    baseline = Side(_written(gate.file(BASELINE), first.versions, machine, before))
    return baseline, Side(_candidate(gate, CANDIDATE, gate.asked))


def retried(gate: Checked, sides: Sides, compared: Callable[[Side, Side], Comparison]) -> Sides:
    """Have the candidate read once more what would block; both attempts are kept.

    Raises:
        UsageError, RunError: see `measured`.
    """
    before, after = sides
    blocking = {row.case for row in compared(before, after).rows if row.blocks}
    again = [
        asked for asked, case in zip(gate.asked, before.run.cases, strict=True) if case in blocking
    ]
    if not again:
        return sides
    return before, replace(after, retries=(_candidate(gate, RETRY, again),))


def axes(sides: Sides) -> dict[str, dict[str, str]]:
    """Return what the causes of a gate may share."""
    return {case: {"kind": "checkpoint"} for side in sides for case in side.run.cases}


def _recorded(gate: Checked, asked: Asked) -> Record:
    if gate.baseline is not None:
        asked.record.unlink(missing_ok=True)
        outcome = _answer(gate, gate.baseline, BASELINE, "record", asked).outcome
        if outcome.failure or outcome.no_result:
            raise RunError(f"the baseline cannot read {asked.path}: {_why(outcome)}")
    return Record.read(asked.record)


def _before(gate: Checked, asked: Asked, record: Record) -> Outcome:
    if gate.baseline is not None:
        return _answer(gate, gate.baseline, BASELINE, "verify", asked).outcome
    silent = record.source.silent if record.source else ""
    silent = silent if asked.outputs else NOT_ASKED
    return Outcome(record.case, storage_only=silent, measures=sizes(record))


def _candidate(gate: Checked, name: str, wanted: Sequence[Asked]) -> Results:
    answers = []
    for asked in wanted:
        try:
            answers.append(_answer(gate, gate.candidate, CANDIDATE, "verify", asked))
        except DiedError as error:
            died = NoResult(NoResultKind.KILLED, str(error))
            outcome = Outcome(Record.read(asked.record).case, no_result=died)
            answers.append(Answer(outcome, versions=dict(gate.candidate.versions)))
    outcomes = [each.outcome for each in answers]
    return _written(gate.file(name), _agreed(answers, gate), hardware(), outcomes)


def _agreed(answers: Sequence[Answer], gate: Checked) -> dict[str, str]:
    """Return the versions that the candidate observed; those that are known where it died."""
    lived = [each.versions for each in answers if each.outcome.no_result is None]
    return lived[0] if lived else dict(gate.candidate.versions)


def _answer(gate: Checked, party: Party, side: str, what: str, asked: Asked) -> Answer:
    said = {"record": "records", "verify": "reads"}[what]
    with gate.shown(f"{side} {said} {asked.path.name}") as far:
        try:
            answer = ask(party, what, asked, far)
        except DiedError as error:
            if side == BASELINE:
                raise RunError(f"the baseline cannot read {asked.path}: {error}") from None
            raise
    if answer.changed:
        raise RunError(
            f"{asked.path} is another checkpoint than the recorded one: "
            f"{'; '.join(answer.changed)}; record it again where it is known to be good"
        )
    return answer


def _why(outcome: Outcome) -> str:
    if outcome.no_result is not None:
        return outcome.no_result.reason
    broken = outcome.failure
    return f"{broken.type}: {' '.join(broken.message.split())}" if broken else ""


def _written(
    path: Path, versions: Mapping[str, str], machine: Mapping[str, str], outcomes: list[Outcome]
) -> Results:
    selection = Selection(tuple(each.case for each in outcomes))
    header = Header.now(versions, machine, selection, len(outcomes))
    with ResultsWriter(path, header) as writer:
        for outcome in outcomes:
            writer.write(outcome, judge(outcome, ()))
    return read_results(path)
