"""What is told of somebody's own checkpoint: how far it is, and whether it came back."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from conformance.judging.judge import Judgement, judge
from conformance.judging.summary import ExitCode
from conformance.judging.verdicts import Verdict
from conformance.report import text
from conformance.report.text import line
from conformance.roundtrip.outcome import Outcome, Stage
from conformance.roundtrip.own import Answer
from conformance.roundtrip.record import Record
from conformance.roundtrip.settle import of_output
from conformance.versions.own import Far

JSON_VERSION = 1
"""Raised with every change after which an old reader would misread the JSON."""
SECONDS = 5.0
"""Between two lines of progress on one thing, in a log that is no terminal."""
STYLES = {Verdict.PASS: "bold green", None: "bold yellow"}


class Bar:
    """Shows bytes and the time left: a bar in a terminal, a line now and then in a log."""

    def __init__(self, name: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._name = f"{name}: " if name else ""
        self._where = text.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self._where,
            disable=not self._where.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._clock, self._told, self._last = clock, "", 0.0
        self._open = ExitStack()

    def __enter__(self) -> Far:
        self._open.enter_context(self._bar)
        return self.far

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def far(self, what: str, done: int, total: int) -> None:
        """Take in how far it is."""
        if self._task is None:
            self._task = self._bar.add_task(what, total=total)
        description = f"{self._name}{what}"
        self._bar.update(self._task, description=description, completed=done, total=total)
        due = self._told != what or self._clock() - self._last >= SECONDS
        if not self._where.is_terminal and due:
            self._told, self._last = what, self._clock()
            said = f"{description}, {filesize.decimal(done)} of {filesize.decimal(total)}"
            text.show(self._where, line(said))


def judged(outcome: Outcome) -> Judgement:
    """Judge by no expectation, and without naming those that are missing."""
    return replace(judge(outcome, ()), reasons=())


def size(outcome: Outcome) -> str:
    """Say how much there was to compare."""
    measures = outcome.measures
    quantized = f", {measures['quantized_tensors']:.0f} quantized"
    payload = filesize.decimal(int(measures["payload_bytes"]))
    return f"{measures['tensors']:.0f} tensors{quantized}, {payload}"


def recorded_headline(answer: Answer, name: str, place: object) -> str:
    """Return one sentence on what was recorded, or why nothing was."""
    outcome = answer.outcome
    if outcome.failure is not None or outcome.no_result is not None:
        return f"Nothing is recorded: {name} {_broken(outcome)}."
    outputs = f"outputs not compared: {outcome.storage_only}" if outcome.storage_only else "outputs"
    return f"{name} is recorded in {place}: {size(outcome)}; {outputs}."


def verified_headline(answer: Answer, name: str) -> str:
    """Return one sentence: does it come back as it was recorded?"""
    outcome, verdict = answer.outcome, judge(answer.outcome, ()).verdict
    if answer.changed:
        return f"{name} is another checkpoint than the recorded one: {'; '.join(answer.changed)}."
    if verdict is None or outcome.failure is not None:
        return f"{name} {_broken(outcome)}."
    silent = f"outputs not compared: {outcome.storage_only}" if outcome.storage_only else ""
    if verdict is Verdict.PASS:
        return f"{name} comes back with every bit ({size(outcome)}); {silent or 'outputs equal'}."
    return f"{name} {_came_back(outcome, verdict)}{f'; {silent}' if silent else ''}."


def _came_back(outcome: Outcome, verdict: Verdict) -> str:
    what = "; ".join(dict.fromkeys(f"{each.check}: {each.what}" for each in outcome.findings))
    if verdict is Verdict.ALTERED:
        return f"comes back with every bit ({size(outcome)}), and not as it was otherwise: {what}"
    if all(map(of_output, outcome.findings)):
        return f"comes back with every bit ({size(outcome)}) and computes something else: {what}"
    return f"loads to something else: {what}"


def _broken(outcome: Outcome) -> str:
    if outcome.no_result is not None:
        return f"has no result: {outcome.no_result.reason.strip().splitlines()[-1]}"
    failure = outcome.failure
    if failure is None:
        return "has no result"
    words = {Stage.INSPECT: "is damaged", Stage.LOAD: "cannot be read here"}
    said = words.get(failure.stage, f"cannot be used here, at {failure.stage}")
    silently = "loads to something else, and " if outcome.findings else ""
    first = failure.message.strip().partition("\n")[0].strip()
    return f"{silently}{said}: {failure.type}: {first}".rstrip(".")


def exit_code(answer: Answer) -> ExitCode:
    """Return how a command ends: another checkpoint proves nothing about these versions."""
    verdict = judge(answer.outcome, ()).verdict
    if verdict is None:
        return ExitCode.INCONCLUSIVE
    return ExitCode.AS_EXPECTED if verdict is Verdict.PASS else ExitCode.NOT_AS_EXPECTED


def versions(record: Record, now: Mapping[str, str]) -> str:
    """Name the distributions that differ from those of the record."""
    then = record.versions
    steps = [
        f"{name} {then.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in dict.fromkeys((*then, *now))
        # Golden files of the first releases name no Python.
        if then.get(name) != now.get(name) and (name in then or name != "python")
    ]
    return ", ".join(steps) or "the versions that it was recorded with"


def report(answer: Answer, headline: str, path: Path, record: Record | None = None) -> Group:
    """Return the headline, the versions, and, unless all is well, ladder, findings, what to do."""
    judgement = judged(answer.outcome)
    good = judgement.verdict is Verdict.PASS
    parts: list[RenderableType] = [line(headline, STYLES.get(judgement.verdict, "bold red"))]
    if record is not None:
        parts.append(line(f"versions: {versions(record, answer.versions)}"))
    if not good and not answer.changed:
        parts += [Text(), text.case_facts(answer.outcome, judgement)]
        parts += look(answer.outcome, path)
    return Group(*parts)


def look(outcome: Outcome, path: Path) -> list[Text]:
    """Return where it is told what to do about a checkpoint that cannot be read; or nothing."""
    if outcome.failure is None or outcome.failure.stage is not Stage.LOAD:
        return []
    command = f"conformance inspect {quote(str(path))}"
    return [Text(), line(f"look: {command} tells who can read it, and what to do")]


def to_json(answer: Answer, headline: str) -> dict[str, Any]:
    """Return the same for a program."""
    judgement = judged(answer.outcome)
    return {
        "schema": JSON_VERSION,
        "headline": headline,
        "verdict": judgement.verdict,
        "changed": list(answer.changed),
        "versions": answer.versions,
        "outcome": answer.outcome.to_json(),
    }
