"""The data of a page as compact JSON: every text once, for a small script to draw from."""

import json
import math
from collections.abc import Iterable
from typing import Any

from conformance.judging.judge import Judgement
from conformance.report.html.view import Attempt, CauseView, Entry, Page, shell_quoted
from conformance.report.text import printable
from conformance.roundtrip.outcome import Finding, Outcome, Reader, Stage

PATHS_KEPT = 60
"""Paths of findings that differ in nothing else; the results file has them all."""
LENGTH_KEPT = 20_000
"""Characters of one text, of which the first and the last half stay."""
ID, CASE = "\ue000", "\ue001"
"""Stand in a command for the id of the cell and for that of its case; `printable` keeps it."""
STAGES, READERS = tuple(Stage), tuple(Reader)


class Numbers:
    """Strings by number, each kept once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """Return the number of a string."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[str]:
        """The strings in the order of their numbers."""
        return list(self._numbers)


class Texts(Numbers):
    """Texts that people read."""

    def __call__(self, text: str) -> int:
        """Return the number of a text, cut where it is too long to read."""
        return super().__call__(_cut(printable(text)))


def _cut(text: str) -> str:
    if len(text) <= LENGTH_KEPT:
        return text
    half = LENGTH_KEPT // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def island(page: Page) -> str:
    """Return the data of a page as JSON that can stand in a script element.

    Nothing in it can end the element, start a comment or an entity: `<`, `>` and `&` are escaped.
    """
    data = json.dumps(packed(page), separators=(",", ":"), allow_nan=False)
    return data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def packed(page: Page) -> dict[str, Any]:
    """Return the data as plain lists; `assets/core.js` gives the fields their names back."""
    texts, pictures = Texts(), Numbers()
    causes = {case: at for at, view in enumerate(page.causes) for case in view.group.cases}
    axes = list(dict.fromkeys(axis for entry in page.entries for axis in entry.axes))
    entries = [_entry(each, axes, causes.get(each.id), texts, pictures) for each in page.entries]
    return {
        "kind": page.kind,
        "columns": page.columns,
        "stages": STAGES,
        "readers": READERS,
        "marks": {
            name: [mark.letter, mark.shape, mark.tone, mark.meaning]
            for name, mark in page.marks.items()
        },
        "axes": axes,
        "sides": [[each.title, dict(each.versions), dict(each.hardware)] for each in page.sides],
        "expectations": _expectations(page),
        "causes": [_cause(each) for each in page.causes],
        "entries": entries,
        "pictures": pictures.all,
        "texts": texts.all,
    }


def _cause(view: CauseView) -> dict[str, Any]:
    return {"issue": view.issue, "command": view.commands[0]}


def _expectations(page: Page) -> dict[str, Any]:
    """Only those that a cell names."""
    named = {
        name
        for entry in page.entries
        for attempt in entry.attempts
        if attempt.judgement
        for name in attempt.judgement.covered_by
    }
    found = {name: page.expectations[name] for name in sorted(named) if name in page.expectations}
    return {name: [each.kind, each.reason, each.issue] for name, each in found.items()}


def _entry(
    entry: Entry, axes: list[str], cause: int | None, texts: Texts, pictures: Numbers
) -> list[Any]:
    case = entry.attempts[0].outcome.case if entry.attempts else entry.id
    return [
        printable(entry.id),
        *map(texts, (*entry.row, *entry.column, entry.now, entry.was, entry.label)),
        *map(texts, (entry.alert, entry.note, entry.reason)),
        [texts(entry.axes.get(axis, "")) for axis in axes],
        -1 if cause is None else cause,
        entry.sides,
        [texts(_template(each, entry.id, case)) for each in entry.commands],
        printable(case) if case != entry.id else "",
        [_attempt(each, texts, pictures) for each in entry.attempts],
    ]


def _template(command: str, entry_id: str, case: str) -> str:
    """Put the ids out of a command, so that equal commands of many cells are kept once."""
    named = command.replace(shell_quoted(entry_id), f"'{ID}'")
    return named.replace(shell_quoted(case), f"'{CASE}'")


def _attempt(attempt: Attempt, texts: Texts, pictures: Numbers) -> list[Any]:
    outcome = attempt.outcome
    return [
        texts(attempt.title),
        texts(attempt.ending),
        _steps(outcome),
        [_finding(each, paths, texts) for each, paths in alike(outcome.findings)],
        _failure(outcome, texts),
        texts(outcome.storage_only),
        {name: _number(value) for name, value in outcome.measures.items()},
        {printable(name): size for name, size in outcome.files.items()},
        _judgement(attempt.judgement, texts),
        [[texts(each.title), pictures(each.source), each.links] for each in attempt.pictures],
    ]


def _steps(outcome: Outcome) -> list[float]:
    """Stage, reader and milliseconds, one behind the other."""
    return [
        number
        for each in outcome.steps
        for number in (
            STAGES.index(each.stage),
            READERS.index(each.reader),
            round(each.seconds * 1000, 2),
        )
    ]


def alike(findings: Iterable[Finding]) -> list[tuple[Finding, list[str]]]:
    """Return the findings that differ in nothing but the path once, each with its paths."""
    found: dict[tuple[str, ...], tuple[Finding, list[str]]] = {}
    for each in findings:
        key = (each.check, each.what, each.wanted, each.got, str(each.reader), str(each.stage))
        found.setdefault(key, (each, []))[1].append(each.path)
    return list(found.values())


def _finding(finding: Finding, paths: list[str], texts: Texts) -> list[int]:
    kept = "\n".join(" ".join(path.split()) for path in paths[:PATHS_KEPT])
    told = (finding.check, str(finding.harm), finding.what, finding.wanted, finding.got, kept)
    return [
        STAGES.index(finding.stage),
        READERS.index(finding.reader),
        len(paths),
        *map(texts, told),
    ]


def _failure(outcome: Outcome, texts: Texts) -> list[Any] | None:
    failure, ended = outcome.failure, outcome.no_result
    if failure is not None:
        told = (failure.type, failure.message, failure.traceback, "\n".join(failure.leftovers))
        return [
            STAGES.index(failure.stage),
            READERS.index(failure.reader),
            *map(texts, told),
        ]
    if ended is not None:
        stage = -1 if ended.stage is None else STAGES.index(ended.stage)
        return [stage, -1, texts(str(ended.kind)), texts(ended.reason), texts(""), texts("")]
    return None


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return value if math.isfinite(value) else str(value)


def _judgement(judgement: Judgement | None, texts: Texts) -> list[Any] | None:
    if judgement is None:
        return None
    stage = -1 if judgement.stage is None else STAGES.index(judgement.stage)
    covered, reasons = judgement.covered_by, judgement.reasons
    return [int(judgement.as_expected), stage, list(map(texts, covered)), list(map(texts, reasons))]
