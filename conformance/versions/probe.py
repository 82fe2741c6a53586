"""One case in one environment after another, against the version where it was good."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from conformance.case import find as find_case
from conformance.errors import UsageError
from conformance.judging.compare import change
from conformance.judging.exchange import label
from conformance.judging.exchanged import as_result
from conformance.judging.results import Result
from conformance.roundtrip.engine import TIMEOUT
from conformance.roundtrip.outcome import NoResultKind
from conformance.versions.bisect import Answer
from conformance.versions.environments import Environment, Environments, find, with_requirement
from conformance.versions.exchange import exchange, plan
from conformance.versions.make import Tools, ready
from conformance.versions.parties import party_of
from conformance.versions.ready import NotReady, Ready
from conformance.versions.refresh import newer
from conformance.versions.runs import Asked, Run, RunError, finished, run_all, whole
from conformance.versions.uv import Uv

CHECKPOINTS = "checkpoints"
"""The folder that holds what the writer wrote."""
UNSAID = (NoResultKind.SKIPPED, NoResultKind.OUT_OF_MEMORY, NoResultKind.HARNESS_ERROR)
"""What says nothing of the library. A hang and a crash do: whoever upgrades has them too."""


@dataclass(frozen=True)
class Step:
    """One of the ordered list: what a reader calls it, and the environment."""

    title: str
    environment: Environment


@dataclass(frozen=True)
class Probe:
    """What one step gave."""

    step: Step
    result: Result | None
    lacks: str = ""
    """Why there is no result; empty when there is."""
    seconds: float = 0.0

    @property
    def ended(self) -> str:
        """How the case ended there, in few words."""
        if self.result is None:
            return self.lacks
        judgement = self.result.judgement
        return str(judgement.cause or judgement.verdict)


def answer(good: Result, result: Result | None) -> Answer:
    """Say whether a result is bad: whether it would block an upgrade from the good one."""
    if result is None or result.judgement.no_result in UNSAID:
        return Answer.SKIPPED
    return Answer.BAD if change(good, result).blocks else Answer.GOOD


@dataclass
class Prober:
    """Runs one case in the environments of steps, each once."""

    case: str
    directory: Path
    using: Tools
    holding: tuple[int, ...]
    done: dict[str, Probe] = field(default_factory=dict)
    """By the title of the step, in the order of the search."""
    timeout: float = TIMEOUT
    """Seconds for the case, or for a reading of its checkpoint."""

    def probe(self, step: Step) -> Probe:
        """Run the case in the environment of a step; what was run there already is read.

        Raises:
            UsageError: the directory holds the results of something else.
        """
        if step.title not in self.done:
            self.done[step.title] = self._probed(step)
        return self.done[step.title]

    def _probed(self, step: Step) -> Probe:
        prepared = ready(step.environment, self.using)
        if isinstance(prepared, NotReady):
            return Probe(step, None, prepared.reason, prepared.seconds)
        return self._measured(step, prepared)

    def _measured(self, step: Step, prepared: Ready) -> Probe:
        name = "".join(each if each.isalnum() or each in ".-_" else "-" for each in step.title)
        path = self.directory / f"{name}.jsonl"
        run = Run(step.title, prepared, Asked((self.case,), timeout=self.timeout), path)
        took = 0.0
        try:
            if finished(run) is None:
                took = sum(run_all([run], 1, lambda _: None, self.holding).values())
            return Probe(step, whole(run).cases[self.case], "", prepared.seconds + took)
        except RunError as error:
            return Probe(step, None, str(error), prepared.seconds + took)


@dataclass
class ReadingProber(Prober):
    """Has the environments of steps read what another one wrote: once, for all of them."""

    writer: Ready = field(kw_only=True)

    def _measured(self, step: Step, prepared: Ready) -> Probe:
        started = time.monotonic()
        asked = plan(
            [party_of(self.writer, self.writer.environment.name)],
            [party_of(prepared, step.title)],
            [find_case(self.case)],
            [self.case],
            (self.directory / CHECKPOINTS).resolve(),
            self.timeout,
        )
        (cell,) = exchange(asked)
        took = prepared.seconds + time.monotonic() - started
        if cell.nothing is not None:
            return Probe(step, None, cell.nothing.reason, took)
        written = f"{self.case}@{label(self.writer.versions)}"
        return Probe(step, as_result(cell, written), "", took)


def released_steps(base: Environment, package: str, good: str, bad: str, uv: Uv) -> list[Step]:
    """Return a step for each release of a package from one version to another; asks the index.

    Raises:
        UsageError: the versions are none, or not in this order, or the last does not exist.
        UvError: the index cannot be read.
    """
    first, last = _version(good), _version(bad)
    if first >= last:
        raise UsageError(
            f"{package} {good} is not older than {bad}: are --good and --bad swapped? "
            "Lists in another order go by --over"
        )
    releases = [good, *newer(package, good, uv, until=bad)]
    if Version(releases[-1]) != last:
        there = ", ".join(releases[1:]) or "nothing up to there"
        raise UsageError(f"the index has no {package} {bad}; after {good} it has {there}")
    return [
        Step(f"{package} {each}", with_requirement(base, f"{package}=={each}")) for each in releases
    ]


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(f"{text!r} is no version; write one like 0.17.0") from None


def listed_steps(
    requirements: Sequence[str], base: Environment | None, known: Environments
) -> list[Step]:
    """Return a step for each of a list of environments, or of requirements on a base.

    Raises:
        UsageError: there are less than two, one is there twice, or one is no requirement.
    """
    if len(requirements) < 2:
        raise UsageError("--over wants two or more, the good one first and the bad one last")
    if len(set(requirements)) < len(requirements):
        raise UsageError("--over names one of them twice; give each once, in order")
    return [
        Step(text, find(text, known) if base is None else with_requirement(base, text))
        for text in requirements
    ]


def base_of(package: str, version: str, known: Environments) -> Environment:
    """Return the environment in which the package is moved when none is named.

    It is the first of the file that has the package at this version, or an ad hoc one.
    """
    name = canonicalize_name(package)
    for each in known.named.values():
        for parsed in map(Requirement, each.requirements):
            if canonicalize_name(parsed.name) == name and str(parsed.specifier) == f"=={version}":
                return each
    return find(f"{package}=={version}", known)
