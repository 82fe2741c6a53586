"""Results for a terminal or a CI log. Reads results; runs nothing."""

import io
import os
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from conformance.judging.judge import Judgement
from conformance.judging.signature import signature
from conformance.judging.summary import CauseGroup, Tally
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import Failure, Finding, NoResultKind, Outcome, Reader, Stage

LOG_WIDTH = 120
"""Columns of a table in a log, whose width nobody knows."""
FINDINGS_SHOWN = 12
PATHS_SHOWN = 4
CASES_SHOWN = 3
LOG_LINES = 20
"""Lines of progress in a log that is no terminal."""
CAUSE_LENGTH = 240
UNPICKLER = "WeightsUnpickler error: "
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~])?")
"""Begins what colours a text, or moves about on a terminal."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Rings, overwrites a line, ends one where no line ends, or turns the writing direction."""
COMMAND = re.compile(r"^(\s*):(?=:)|##(?=\[)", re.MULTILINE)
"""Begins a line that a CI service obeys: `::add-mask::`, `##[group]`."""

COLOURS = {
    Verdict.PASS: "green",
    Verdict.ALTERED: "yellow",
    Verdict.REFUSED: "cyan",
    Verdict.QUANTIZE_FAILED: "magenta",
    Verdict.SAVE_FAILED: "magenta",
    Verdict.LOAD_FAILED: "red",
    Verdict.CORRUPT: "bold white on red",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or as a log line.

    With `NO_COLOR` there is nothing bold or dim either: rich alone would leave those.
    """
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    made = Console(stderr=stderr, highlight=False, color_system=colours)
    if not made.is_terminal:
        made.width = LOG_WIDTH
    return made


def show(where: Console, renderable: RenderableType) -> None:
    """Print with lines as long as they are: a terminal wraps them, a log keeps them whole."""
    if where.is_terminal:
        where.print(Group(renderable), crop=False)
    else:
        where.file.write(to_text(renderable, where.width))
        where.file.flush()


def to_text(renderable: RenderableType, width: int = LOG_WIDTH) -> str:
    """Render for a log: without colours, and without spaces at the end of a line."""
    file = io.StringIO()
    plain = Console(file=file, width=width, color_system=None, force_terminal=False)
    plain.print(Group(renderable), crop=False)
    return "".join(f"{each.rstrip()}\n" for each in file.getvalue().splitlines())


def folding_table(*headers: str) -> Table:
    """Return a table without a frame, whose cells are wrapped and never cut off.

    Without headers it has two columns, for names and values.
    """
    named = headers or ("", "")
    made = Table(*named, box=None, pad_edge=False, show_header=bool(headers))
    for column in made.columns:
        column.overflow = "fold"
    return made


def line(text: str, style: str = "") -> Text:
    """Return text that is neither read as markup nor wrapped."""
    return Text(printable(text), style, no_wrap=True, overflow="ignore")


def printable(text: str) -> str:
    """Leave out what would control a terminal, or could not be written: libraries say anything.

    What a CI service would obey gets a space, and is only read.
    """
    shown = CONTROL.sub("", ESCAPE.sub("", text))
    return COMMAND.sub(r"\g<0> ", shown).encode("utf-8", "replace").decode("utf-8")


def rerun_command(case_id: str) -> str:
    """Return the command that runs this one case again, and leaves the results of all be."""
    return f"conformance run --select '{case_id}' --results again.jsonl"


def ladder(outcome: Outcome, broken: Stage | None) -> Columns:
    """Return the stages with the times of those that were gone through; broken ones marked."""
    seconds: dict[Stage, float] = {}
    for step in outcome.steps:
        seconds[step.stage] = seconds.get(step.stage, 0.0) + step.seconds
    passed = _passed(outcome, seconds.keys())
    rungs = []
    for stage in Stage:
        rung = _rung(stage, passed, {*_broken(outcome), broken})
        if stage in seconds:
            rung.append(f" {seconds[stage] * 1000:.0f} ms", "dim")
        rungs.append(rung)
    return Columns(rungs, padding=(0, 2))


def _broken(outcome: Outcome) -> set[Stage | None]:
    ends = (*outcome.findings, outcome.failure, outcome.no_result)
    return {each.stage for each in ends if each is not None}


def _passed(outcome: Outcome, timed: Collection[Stage]) -> set[Stage]:
    """Add to the stages with a time those that need none of their own.

    What comes before the first step was done for an earlier case that shares the model. Bits and
    size are judged, when a reader got through the structure, from what other stages gathered.
    """
    if not timed:
        return set()
    stages = list(Stage)
    first = min(stages.index(stage) for stage in timed)
    unread = outcome.failure is not None and outcome.failure.stage is Stage.STRUCTURE
    whole = Stage.STRUCTURE in timed and not unread and outcome.no_result is None
    return {*stages[:first], *timed, *([Stage.BITS, Stage.SIZE] if whole else [])}


def _rung(stage: Stage, passed: Collection[Stage], broken: Collection[Stage | None]) -> Text:
    if stage in broken:
        return line(f"✗ {stage}", "bold red")
    if stage in passed:
        return line(f"✓ {stage}", "green")
    return line(f"· {stage}", "dim")


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return the findings, those that differ in nothing but the path in one row."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for each in findings:
        row = (each.check, each.what, each.wanted, each.got, str(each.reader))
        alike.setdefault(row, []).append(each.path)
    found = folding_table("check", "path", "what", "wanted", "got", "reader")
    for (check, *others), paths in list(alike.items())[:FINDINGS_SHOWN]:
        path = "\n".join(_first(paths, PATHS_SHOWN))
        found.add_row(*(Text(printable(cell)) for cell in (check, path, *others)))
    if len(alike) > FINDINGS_SHOWN:
        found.add_row("...", f"and {len(alike) - FINDINGS_SHOWN} more")
    return found


def _first(names: Sequence[str], count: int) -> list[str]:
    more = len(names) - count
    return [*names[:count], *([f"... and {more} more"] if more > 0 else [])]


def case_report(outcome: Outcome, judgement: Judgement) -> Group:
    """Return everything about one case: how it ended, the ladder, findings, failure, rerun."""
    again = line(f"again: {rerun_command(outcome.case)}")
    return Group(case_facts(outcome, judgement), again)


def case_facts(outcome: Outcome, judgement: Judgement) -> Group:
    """Return the same without the rerun, for a case that was run in another environment."""
    parts: list[RenderableType] = [ending(judgement), ladder(outcome, judgement.stage)]
    if outcome.storage_only:
        parts.append(line(f"storage only: {outcome.storage_only}"))
    parts += [line(f"not as expected: {reason}") for reason in judgement.reasons]
    if judgement.covered_by:
        parts.append(line(f"expected by: {', '.join(judgement.covered_by)}"))
    if outcome.no_result:
        parts.append(line(outcome.no_result.reason.rstrip()))
    if outcome.findings:
        parts.append(findings_table(outcome.findings))
    if outcome.failure:
        parts += _failure_parts(outcome.failure)
    return Group(*parts)


def ending(judgement: Judgement) -> Text:
    """Return one line: the case and how it ended."""
    style = COLOURS[judgement.verdict] if judgement.verdict else "dim"
    ended = judgement.verdict or f"no result: {judgement.no_result}"
    return line(f"{judgement.case}: ").append(str(ended), style)


class Reporter:
    """Reports what is not as expected: once in full, and by one line what ends alike."""

    def __init__(self) -> None:
        self._models: dict[Hashable, str] = {}

    def report(self, outcome: Outcome, judgement: Judgement) -> RenderableType:
        """Return the full report, or the line that names the case which had it.

        The cause is of the worst that happened, which may be expected: the reasons count, too.
        """
        likeness = (judgement.cause, *map(signature, judgement.reasons))
        model = self._models.setdefault(likeness, judgement.case)
        if model == judgement.case:
            return Group(Text(), case_report(outcome, judgement))
        return ending(judgement).append(f", not as expected, like {model}")


def _failure_parts(failure: Failure) -> list[Text]:
    reader = f"{failure.reader} reader" + ("s" if failure.reader is Reader.BOTH else "")
    parts = [line(f"{failure.type} at {failure.stage} ({reader}): {failure.message}")]
    if failure.leftovers:
        parts.append(line(f"left behind: {', '.join(failure.leftovers)}"))
    parts.append(line(failure.traceback.rstrip()))
    return parts


def verdict_counts(counts: Tally) -> Table:
    """Return the counts by verdict, worst first, and the cases without a result beside them."""
    found = folding_table("verdict", "cases")
    found.columns[1].justify = "right"
    for verdict, count in counts.verdicts.items():
        if count:
            found.add_row(Text(str(verdict), COLOURS[verdict]), str(count))
    for kind, count in counts.no_results.items():
        if count:
            found.add_row(Text(f"no result: {kind}", "dim"), str(count))
    return found


def causes_list(causes: Iterable[CauseGroup], skipped: bool = False) -> list[Text]:
    """Return a paragraph a cause, worst first; those of skipped cases only when asked for."""
    return [
        paragraph
        for group in causes
        if skipped or group.cause.ending is not NoResultKind.SKIPPED
        for paragraph in (Text(), *_cause(group))
    ]


def _cause(group: CauseGroup) -> Iterator[Text]:
    ended = group.cause.ending
    style = COLOURS[ended] if isinstance(ended, Verdict) else "dim"
    yield line(shortened(str(group.cause)), style)
    count = line(f"  {_cases(len(group.cases))}")
    if group.unexpected:
        count.append(f", {group.unexpected} not as expected", "bold red")
    if group.shared:
        count.append(f"; all {', '.join(group.shared.values())}")
    yield count
    yield from (line(f"  {each}") for each in _first(group.cases, CASES_SHOWN))


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def shortened(text: str) -> str:
    """Cut out the middle: what broke stands at the start or, in a traceback, at the end.

    `torch.load` has it in the middle, with the same advice around it whatever it was.
    """
    if len(text) <= CAUSE_LENGTH:
        return text
    before, key, broke = text.partition(UNPICKLER)
    if key:
        return f"{before[: CAUSE_LENGTH // 4]} ... {key}{broke[: CAUSE_LENGTH * 2 // 3]} ..."
    half = CAUSE_LENGTH // 2
    return f"{text[:half]} ... {text[-half:]}"


def headline(counts: Tally, unused: Sequence[str] = (), planned: int = 0) -> str:
    """Return one sentence on the whole run; some of the planned cases may have no result yet."""
    cases = max(planned, counts.cases)
    measured = f"{counts.measured} of {cases} cases were measured"
    missing, wrong = cases - counts.cases, counts.unexpected
    broken_off = [f"{missing} {'was' if missing == 1 else 'were'} not run"] if missing else []
    unexpected = [f"{wrong} {'is' if wrong == 1 else 'are'} not as expected"] if wrong else []
    bad = [*unexpected, *(f"unused expectation: {name}" for name in unused)]
    if not counts.measured:
        return "; ".join([measured, *broken_off, *bad, "nothing can be said"])
    return "; ".join([measured, *broken_off, *(bad or ["all are as expected"])])


def summary(
    counts: Tally,
    causes: Iterable[CauseGroup],
    unused: Sequence[str],
    *,
    skipped: bool = False,
    planned: int = 0,
) -> Group:
    """Return the summary of a run: one sentence, counts by verdict, causes worst first.

    Why cases were skipped is told when asked for, and when there is nothing else to tell.
    """
    skipped = skipped or counts.measured == 0
    parts: list[RenderableType] = [line(headline(counts, unused, planned))]
    if counts.cases:
        parts += [Text(), verdict_counts(counts)]
    return Group(*parts, *causes_list(causes, skipped))


class Amount(ProgressColumn):
    """How much of a task is done: bytes, for a task with the field `bytes`, or things."""

    def render(self, task: Task) -> Text:
        """Render it."""
        column = DownloadColumn() if task.fields.get("bytes") else MofNCompleteColumn()
        return column.render(task)


def progress(where: Console) -> Progress:
    """Return a progress bar; in a log that is no terminal it stays silent."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        Amount(),
        TimeRemainingColumn(),
        console=where,
        disable=not where.is_terminal,
        transient=True,
    )


@contextmanager
def counting(where: Console, what: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """Yield what is called when one more is done: a bar in a terminal, some lines in a log."""
    every = max(1, total // LOG_LINES)
    with progress(where) as bar:
        task = bar.add_task(what, total=total, completed=done)

        def one_more() -> None:
            nonlocal done
            done += 1
            bar.advance(task)
            if not where.is_terminal and done % every == 0:
                where.print(f"{done} of {total} {what}")

        yield one_more


@contextmanager
def busy(where: Console, what: str) -> Iterator[None]:
    """Say what is being done: it turns in a terminal, and is a line in a log."""
    if where.is_terminal:
        with where.status(what):
            yield
    else:
        where.print(f"{what} ...")
        yield
