"""Where each expectation was measured to hold, and what was said there, out of results."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.judging.excuses import Event
from conformance.judging.expectations import Expectation
from conformance.judging.pasted import Raised, raised_in, without_paths
from conformance.judging.verdicts import breaks, stage_order, verdict_of
from conformance.roundtrip.outcome import Failure, Finding, Outcome, Stage

SAMPLES = 6
"""Different texts kept of one expectation."""
LONGEST = 1500
"""Characters kept of a message: a state dict's names every key of the model."""


@dataclass(frozen=True)
class Sample:
    """What one case said under one environment."""

    case: str
    versions: str
    """Label of the environment: `torchao0.18.0,diffusers0.42.1`."""
    said: tuple[Raised, ...]
    """The exceptions of the traceback, the last of which ended it; of a finding none."""
    what: str = ""
    """What a check found, or why there is no result; of an exception nothing."""
    wanted: str = ""
    got: str = ""

    @property
    def message(self) -> str:
        """The text by which people look for it."""
        return self.said[-1].message if self.said else self.what

    @property
    def likeness(self) -> tuple[str, ...]:
        """Equal for samples that say the same."""
        return (self.what, *(each.signature for each in self.said))


@dataclass(frozen=True)
class Measured:
    """What results say of one expectation."""

    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Label -> in how many cases it was seen, of how many that came as far."""
    samples: tuple[Sample, ...] = ()
    """The newest versions first."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Rebuild it from what `asdict` made of it.

        Raises:
            KeyError, TypeError: the dictionary is another one.
        """
        counts = {label: (seen, of) for label, (seen, of) in data["counts"].items()}
        samples = (
            Sample(**{**each, "said": tuple(Raised(**one) for one in each["said"])})
            for each in data["samples"]
        )
        return cls(counts, tuple(samples))


@dataclass(frozen=True)
class Observed:
    """The outcomes of one environment by case id."""

    label: str
    versions: Mapping[str, str]
    outcomes: Mapping[str, Outcome]


def measured(expectation: Expectation, runs: Iterable[Observed]) -> Measured:
    """Return where it was seen, also under versions that it does not declare.

    There another cause may end in the same words, which diffusers does to everything that
    `torch.load` says: what was raised before must then be the same, or the case says nothing.

    Args:
        expectation: what is looked for.
        runs: what was measured, newest environment first.
    """
    runs = tuple(runs)
    home = [run for run in runs if expectation.holds_for(run.versions)]
    known: dict[tuple[str, ...], Sample] = {}
    for run in home:
        for sample in _samples(expectation, run).values():
            known.setdefault(sample.likeness, sample)
    counts: dict[str, tuple[int, int]] = {}
    for run in runs:
        seen, of = _count(expectation, run, None if run in home else known)
        before = counts.get(run.label, (0, 0))
        if of:
            counts[run.label] = (before[0] + seen, before[1] + of)
    return Measured(counts, tuple(known.values())[:SAMPLES])


def _samples(expectation: Expectation, run: Observed) -> dict[str, Sample]:
    """Return what was seen by case id."""
    found: dict[str, Sample] = {}
    for case, outcome in run.outcomes.items():
        for event in _seen(expectation, outcome) if expectation.about(case) else ():
            found.setdefault(case, _sample(case, run.label, event))
    return found


def _count(
    expectation: Expectation, run: Observed, known: Collection[tuple[str, ...]] | None
) -> tuple[int, int]:
    """Return in how many cases it was seen, and could be seen; None: whatever is said counts."""
    found = _samples(expectation, run)
    other = [
        case
        for case, sample in found.items()
        if known is not None and len(sample.said) > 1 and sample.likeness not in known
    ]
    seen = len(found) - len(other)
    unseen = (each for case, each in run.outcomes.items() if case not in found)
    return seen, seen + sum(
        expectation.about(each.case) and _came_as_far(expectation, each) for each in unseen
    )


def _seen(expectation: Expectation, outcome: Outcome) -> list[Event]:
    ended = () if outcome.no_result is None else (outcome.no_result,)
    events: tuple[Event, ...] = (*breaks(outcome), *ended)
    return [each for each in events if not expectation.excuse.differences(each)]


def _came_as_far(expectation: Expectation, outcome: Outcome) -> bool:
    """Does the case say anything about it? One that broke earlier does not."""
    if outcome.no_result is not None:
        return False
    stage = expectation.excuse.stage
    reached = stage_order(outcome.failure.stage) if outcome.failure else len(Stage)
    return stage is None or stage_order(stage) <= reached


def _sample(case: str, label: str, event: Event) -> Sample:
    if isinstance(event, Failure):
        return Sample(case, label, _said(event))
    if isinstance(event, Finding):
        texts = (without_paths(each)[:LONGEST] for each in (event.what, event.wanted, event.got))
        return Sample(case, label, (), *texts)
    return Sample(case, label, (), event.reason)


def _said(failure: Failure) -> tuple[Raised, ...]:
    """The chain of the traceback, whose end is what the failure says it is."""
    chain = raised_in(failure.traceback)[:-1]
    ended = Raised(failure.type, failure.message)
    return tuple(
        Raised(each.type, without_paths(each.message)[:LONGEST].strip()) for each in (*chain, ended)
    )


def verdicts(case: str, runs: Iterable[Observed]) -> dict[str, str]:
    """Return the verdict of one case by environment, where it has one."""
    found = {}
    for run in runs:
        outcome = run.outcomes.get(case)
        verdict = None if outcome is None else verdict_of(outcome)
        if verdict is not None:
            found[run.label] = str(verdict)
    return found


def to_json(
    expectations: Iterable[Expectation], proofs: Iterable[str], runs: Iterable[Observed]
) -> dict[str, Any]:
    """Return everything that the runs say, ready for JSON.

    Args:
        expectations: what is looked for.
        proofs: case ids that show that a workaround works.
        runs: what was measured, newest environment first.
    """
    runs = tuple(runs)
    return {
        "environments": {run.label: dict(run.versions) for run in runs},
        "expectations": {each.name: asdict(measured(each, runs)) for each in expectations},
        "proofs": {case: verdicts(case, runs) for case in sorted(set(proofs))},
    }
