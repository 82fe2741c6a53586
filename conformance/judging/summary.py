"""What many judgements come to: counts, causes, and the exit code."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import Any

from conformance.judging.judge import Judgement
from conformance.judging.signature import Cause
from conformance.judging.verdicts import Verdict, worst_to_best
from conformance.roundtrip.outcome import NoResultKind


class ExitCode(IntEnum):
    """How a run ends for the shell."""

    AS_EXPECTED = 0
    """Every case is as expected, and no expectation is unused."""
    NOT_AS_EXPECTED = 1
    """A case is not, or an expectation was put to no test."""
    USAGE = 2
    """The command was wrong; nothing was run."""
    INCONCLUSIVE = 3
    """No case got a verdict, or the run was broken off before anything unexpected showed."""


@dataclass(frozen=True)
class Tally:
    """Cases counted by how they ended; every ending is named, also those that are zero."""

    verdicts: Mapping[Verdict, int]
    """Worst first."""
    no_results: Mapping[NoResultKind, int]
    expected: int
    unexpected: int

    @property
    def measured(self) -> int:
        """The number of cases that have a verdict."""
        return sum(self.verdicts.values())

    @property
    def cases(self) -> int:
        """The number of all cases."""
        return self.measured + sum(self.no_results.values())

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Tally":
        """Rebuild a tally from `dataclasses.asdict`'s dictionary.

        Raises:
            KeyError, AttributeError, ValueError: the dictionary is not a tally.
        """
        return cls(
            verdicts={Verdict(name): count for name, count in data["verdicts"].items()},
            no_results={NoResultKind(name): count for name, count in data["no_results"].items()},
            expected=data["expected"],
            unexpected=data["unexpected"],
        )


def tally(judgements: Iterable[Judgement]) -> Tally:
    """Count the judgements; a case without a verdict is counted beside them, never among them."""
    judged = tuple(judgements)
    verdicts = Counter(each.verdict for each in judged)
    no_results = Counter(each.no_result for each in judged)
    expected = sum(1 for each in judged if each.as_expected)
    return Tally(
        verdicts={verdict: verdicts[verdict] for verdict in worst_to_best()},
        no_results={kind: no_results[kind] for kind in NoResultKind},
        expected=expected,
        unexpected=len(judged) - expected,
    )


@dataclass(frozen=True)
class CauseGroup:
    """The cases that ended alike."""

    cause: Cause
    cases: tuple[str, ...]
    unexpected: int
    """How many of them are not as expected."""
    shared: Mapping[str, str]
    """The axis values that all of them have, and that not every case of the run has."""


def causes_worst_first(
    judgements: Iterable[Judgement],
    axes: Mapping[str, Mapping[str, str]],
    among: Iterable[str] | None = None,
) -> tuple[CauseGroup, ...]:
    """Group the cases by cause: worst first, then by stage; passes are in no group.

    `axes` gives the axis values of every case by id: `{"flux-tiny...": {"scheme": "int8wo"}}`.
    `among` names the cases of the whole run, where the judgements are a part of it.
    """
    judged = tuple(judgements)
    everywhere = shared_axes((each.case for each in judged) if among is None else among, axes)
    caused = [(each.cause, each) for each in judged if each.cause is not None]
    caused.sort(key=lambda pair: pair[0].worst_first)
    return tuple(
        _group(cause, [each for _, each in pairs], axes, everywhere)
        for cause, pairs in groupby(caused, key=lambda pair: pair[0])
    )


def _group(
    cause: Cause,
    judged: list[Judgement],
    axes: Mapping[str, Mapping[str, str]],
    everywhere: Mapping[str, str],
) -> CauseGroup:
    shared = shared_axes((each.case for each in judged), axes)
    return CauseGroup(
        cause=cause,
        cases=tuple(sorted(each.case for each in judged)),
        unexpected=sum(not each.as_expected for each in judged),
        shared={axis: value for axis, value in shared.items() if axis not in everywhere},
    )


def shared_axes(case_ids: Iterable[str], axes: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the axis values that all the cases have; a case that `axes` lacks shares none."""
    values = [set(axes.get(case, {}).items()) for case in case_ids]
    common = set.intersection(*values) if values else set()
    return dict(sorted(common))


def exit_code(counts: Tally, unused: Iterable[str] = (), *, complete: bool = True) -> ExitCode:
    """Return how the run ends.

    A run that measured nothing is inconclusive, whatever was expected of its cases. Otherwise
    anything unexpected, also an unused expectation, counts before a run being partial.
    """
    if counts.measured == 0:
        return ExitCode.INCONCLUSIVE
    if counts.unexpected or tuple(unused):
        return ExitCode.NOT_AS_EXPECTED
    return ExitCode.AS_EXPECTED if complete else ExitCode.INCONCLUSIVE
