"""Results for a terminal or a CI log. Reads results; runs nothing."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from conformance.judging.judge import Judgement
from conformance.judging.summary import CauseGroup, Tally
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import Finding, Outcome, Stage

FINDINGS_SHOWN = 12
CASES_SHOWN = 3

COLOURS = {
    Verdict.PASS: "green",
    Verdict.ALTERED: "yellow",
    Verdict.REFUSED: "cyan",
    Verdict.QUANTIZE_FAILED: "magenta",
    Verdict.SAVE_FAILED: "magenta",
    Verdict.LOAD_FAILED: "red",
    Verdict.CORRUPT: "bold white on red",
}


def to_text(renderable: RenderableType, width: int = 110) -> str:
    """Render without colours, for a log."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def rerun_command(case_id: str) -> str:
    """Return the command that runs this one case again."""
    return f"conformance run --select '{case_id}'"


def ladder(outcome: Outcome, broken: Stage | None) -> Text:
    """Return the stages that were gone through, with their times; the first broken one marked."""
    seconds: dict[Stage, float] = {}
    for step in outcome.steps:
        seconds[step.stage] = seconds.get(step.stage, 0.0) + step.seconds
    line = Text()
    for stage in Stage:
        mark, style = _rung(stage, seconds, broken)
        line.append(f"{mark} {stage}", style)
        if stage in seconds:
            line.append(f" {seconds[stage] * 1000:.0f} ms", "dim")
        line.append("  ")
    return line


def _rung(stage: Stage, seconds: dict[Stage, float], broken: Stage | None) -> tuple[str, str]:
    if stage is broken:
        return "✗", "bold red"
    # Bits and size are judged from what other stages gathered.
    return ("✓", "green") if stage in seconds else ("·", "dim")


def findings_table(findings: Sequence[Finding]) -> Table:
    """Return the findings, the first of them by name."""
    table = Table("check", "path", "what", "wanted", "got", "reader", box=None, pad_edge=False)
    for each in findings[:FINDINGS_SHOWN]:
        table.add_row(
            each.check,
            escape(each.path),
            escape(each.what),
            escape(each.wanted),
            escape(each.got),
            str(each.reader),
        )
    if len(findings) > FINDINGS_SHOWN:
        table.add_row("...", f"and {len(findings) - FINDINGS_SHOWN} more", "", "", "", "")
    return table


def case_report(outcome: Outcome, judgement: Judgement) -> Group:
    """Return everything about one case: how it ended, the ladder, findings, failure, rerun."""
    ending = judgement.verdict or judgement.no_result
    parts: list[RenderableType] = [
        Text(f"{outcome.case}: {ending}"),
        ladder(outcome, judgement.stage),
    ]
    if outcome.storage_only:
        parts.append(Text(f"storage only: {outcome.storage_only}"))
    parts += [Text(f"not as expected: {reason}") for reason in judgement.reasons]
    if judgement.covered_by:
        parts.append(Text(f"expected by: {', '.join(judgement.covered_by)}"))
    if outcome.no_result:
        parts.append(Text(outcome.no_result.reason))
    if outcome.findings:
        parts.append(findings_table(outcome.findings))
    if outcome.failure:
        parts += _failure_parts(outcome)
    parts.append(Text(f"again: {rerun_command(outcome.case)}"))
    return Group(*parts)


def _failure_parts(outcome: Outcome) -> list[RenderableType]:
    failure = outcome.failure
    if failure is None:
        return []
    parts = [
        Text(f"{failure.type} at {failure.stage} ({failure.reader} reader): {failure.message}")
    ]
    if failure.leftovers:
        parts.append(Text(f"left behind: {', '.join(failure.leftovers)}"))
    parts.append(Text(failure.traceback.rstrip()))
    return list(parts)


def verdict_counts(counts: Tally) -> Table:
    """Return the counts by verdict, worst first, and the cases without a result beside them."""
    table = Table("verdict", "cases", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for verdict, count in counts.verdicts.items():
        if count:
            table.add_row(Text(str(verdict), COLOURS[verdict]), str(count))
    for kind, count in counts.no_results.items():
        if count:
            table.add_row(Text(f"no result: {kind}", "dim"), str(count))
    return table


def causes_table(causes: Iterable[CauseGroup], skipped: bool = False) -> Table:
    """Return the causes, worst first; those of skipped cases only when asked for."""
    table = Table("cases", "not expected", "cause", "shared axes, or some cases", show_lines=True)
    table.columns[0].justify = table.columns[1].justify = "right"
    for group in causes:
        if str(group.cause.ending) == "skipped" and not skipped:
            continue
        table.add_row(
            str(len(group.cases)),
            Text(str(group.unexpected), "bold red" if group.unexpected else ""),
            escape(str(group.cause)),
            escape(_where(group)),
        )
    return table


def _where(group: CauseGroup) -> str:
    shared = ", ".join(f"all {value}" for _, value in sorted(group.shared.items()))
    shown = "\n".join(group.cases[:CASES_SHOWN])
    more = len(group.cases) - CASES_SHOWN
    rest = f"\n... and {more} more" if more > 0 else ""
    return f"{shared}\n{shown}{rest}" if shared else f"{shown}{rest}"


def headline(counts: Tally, unused: Sequence[str] = ()) -> str:
    """Return one sentence on the whole run."""
    measured, cases = counts.measured, counts.cases
    if measured == 0:
        return f"0 of {cases} cases were measured: nothing can be said"
    text = f"{measured} of {cases} cases were measured"
    if not counts.unexpected and not unused:
        return f"{text}; all {cases} are as expected"
    parts = [f"{counts.unexpected} of them not as expected"] if counts.unexpected else []
    parts += [f"unused expectation: {name}" for name in unused]
    return f"{text}; {'; '.join(parts)}"


def summary(
    counts: Tally, causes: Iterable[CauseGroup], unused: Sequence[str], *, skipped: bool = False
) -> Group:
    """Return the summary of a run: one sentence, counts by verdict, causes worst first."""
    table = causes_table(causes, skipped)
    parts: list[RenderableType] = [Text(headline(counts, unused)), Text(), verdict_counts(counts)]
    return Group(*parts, *([Text(), table] if table.row_count else []))


def progress(console: Console) -> Progress:
    """Return a progress bar; in a log that is no terminal it stays silent."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
