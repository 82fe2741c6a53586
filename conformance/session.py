"""One run: outcomes come in, are judged, and are written down at once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from conformance.case import Case, all_ids
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation, active, load_expectations, packaged
from conformance.judging.judge import Judgement, judge, unused
from conformance.judging.parts import disagreement, read_begun
from conformance.judging.results import Begun, Header, ResultsWriter, Selection
from conformance.judging.summary import CauseGroup, Tally, causes_worst_first, tally
from conformance.roundtrip.checks import check_names
from conformance.roundtrip.outcome import Outcome


def current_expectations(extra: Iterable[Path] = ()) -> tuple[Expectation, ...]:
    """Return the expectations, ours and extra ones, that hold for the installed versions.

    Raises:
        UsageError: an entry is wrong.
    """
    known = load_expectations((*packaged(), *extra), check_names(), all_ids())
    return active(known, observed_versions())


def axes_of(cases: Iterable[Case]) -> dict[str, Mapping[str, str]]:
    """Return the axis values of each case by id."""
    return {
        case.id: {
            "subject": case.subject.name,
            "scheme": case.scheme.name,
            "route": case.route.name,
            "format": case.format.name,
            "device": str(case.device),
        }
        for case in cases
    }


@dataclass
class Session:
    """Judges outcomes as they arrive; with a results file, writes each one at once."""

    cases: tuple[Case, ...]
    expectations: tuple[Expectation, ...]
    results: ResultsWriter | None = None
    judgements: list[Judgement] = field(default_factory=list)

    def add(self, outcome: Outcome) -> Judgement:
        """Judge one outcome and keep it."""
        judgement = judge(outcome, self.expectations)
        self.judgements.append(judgement)
        if self.results is not None:
            self.results.write(outcome, judgement)
        return judgement

    @property
    def tally(self) -> Tally:
        """The counts so far."""
        return tally(self.judgements)

    @property
    def remaining(self) -> tuple[Case, ...]:
        """The cases that have not ended yet."""
        done = {judgement.case for judgement in self.judgements}
        return tuple(case for case in self.cases if case.id not in done)

    @property
    def complete(self) -> bool:
        """Has every planned case ended?"""
        return len(self.judgements) == len(self.cases)

    @property
    def causes(self) -> tuple[CauseGroup, ...]:
        """The causes so far, worst first."""
        return causes_worst_first(self.judgements, axes_of(self.cases))

    def unused(self, everything: Iterable[Case]) -> tuple[str, ...]:
        """Name the active expectations that nothing tested, when `everything` was run.

        Those that are about none of the cases that were run, but about other sizes or devices,
        are for another run to test.
        """
        done = {judgement.case for judgement in self.judgements}
        if not done >= {case.id for case in everything}:
            return ()
        asked = (each for each in self.expectations if any(map(each.about, done)))
        return unused(asked, self.judgements)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.results is not None:
            self.results.__exit__(kind, error, trace)


def open_results(path: Path, planned: int, selection: Selection) -> ResultsWriter:
    """Open a results file.

    Raises:
        UsageError: it cannot be written.
    """
    return ResultsWriter(path, Header.now(observed_versions(), hardware(), selection, planned))


def resume_results(
    path: Path, cases: Collection[Case], expectations: Iterable[Expectation], selection: Selection
) -> ResultsWriter:
    """Open the results file of a run of the same cases that was broken off, to go on behind it.

    Raises:
        UsageError: the file cannot be read or written, or another run began it.
    """
    begun = read_begun(path)
    now = Header.now(observed_versions(), hardware(), selection, len(cases))
    what = disagreement(begun.header, now) or _other(begun, now, cases, tuple(expectations))
    if what:
        raise UsageError(
            f"{path} cannot be resumed by this run: {what}; "
            "give the options of the first run, or another --results"
        )
    return ResultsWriter(path, begun.header, begun=begun)


def _other(
    begun: Begun, now: Header, cases: Iterable[Case], expectations: tuple[Expectation, ...]
) -> str:
    """Say in what the run that was begun is another than this one; empty when it is this one."""
    shards = begun.header.selection.shard, now.selection.shard
    if shards[0] != shards[1]:
        return f"shard {shards[0] or '1/1'} and {shards[1] or '1/1'}"
    if begun.header.planned != now.planned or begun.cases.keys() - {case.id for case in cases}:
        return f"{begun.header.planned} planned cases and {now.planned} other ones"
    for case, result in begun.cases.items():
        if judge(result.outcome, expectations) != result.judgement:
            return f"{case} was judged by other expectations"
    return ""
