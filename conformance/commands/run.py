"""`conformance run`."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from conformance.case import default_cases
from conformance.commands.complete import Globs, Markers
from conformance.commands.report import run_report
from conformance.errors import UsageError
from conformance.judging.exchanged import written_by
from conformance.judging.results import Selection, read_results
from conformance.judging.summary import exit_code
from conformance.report import text
from conformance.report.telling import Telling
from conformance.roundtrip.disk import require_space
from conformance.roundtrip.engine import TIMEOUT
from conformance.roundtrip.gallery import Gallery
from conformance.roundtrip.kept import INDEX, Keep
from conformance.roundtrip.outcome import Progress
from conformance.runner import run_cases
from conformance.selection import chosen, part
from conformance.session import Session, current_expectations, open_results, resume_results
from conformance.shard import Shard
from conformance.versions.runs import ending_like_ctrl_c

EPILOG = """Examples:

[bold]conformance run[/]  (tiny models on CPU)

[bold]conformance run -n 2 --results results.jsonl[/]

[bold]conformance run --select 'flux-*.int8wo.*.pickle*.cpu'[/]

[bold]conformance run --marker small[/]  (size ratios)

[bold]conformance run -m full -s 'flux-schnell.*'[/]  (11.9 G parameters; `conformance plan` first)
[bold]conformance run --marker pipeline --pictures pictures[/]  (whole pipelines, to look at)

[bold]conformance run --results results.jsonl --resume[/]  (after Ctrl-C or a crash)

[bold]conformance run --shard 2/4 --results shard-2.jsonl[/]  (then `conformance merge`)

Exit codes: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive."""

out = text.console()
err = text.console(stderr=True)


class Watcher:
    """Shows how far large cases are: in the bar, or now and then as a line of a log."""

    def __init__(self, bar: Any, console: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.bar = bar
        self._shown: dict[str, tuple[str, Any]] = {}  # by case: its part, and the task of that
        self._log = None if console.is_terminal else Telling(console.print, clock)

    def __call__(self, case: str, now: Progress) -> None:
        """Show it."""
        part, task = self._shown.get(case, ("", None))
        if part != now.part:
            self.over(case)
            task = self.bar.add_task(f"{case} {now.part}", total=now.total or None, bytes=True)
            self._shown[case] = (now.part, task)
        self.bar.update(task, completed=now.done)
        if self._log is not None:
            self._log(case, now)

    def over(self, case: str) -> None:
        """Show nothing more of a case, or of its part that is over."""
        if case in self._shown:
            self.bar.remove_task(self._shown.pop(case)[1])


def command(
    globs: Globs = None,
    markers: Markers = None,
    workers: Annotated[int, typer.Option("-n", min=1, help="Engines at work at once.")] = 1,
    results: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the results go, as JSON lines.")
    ] = Path("conformance-results.jsonl"),
    expectations: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Further expectations; repeatable.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Longest time for a case in one process."),
    ] = TIMEOUT,
    shard: Annotated[
        Shard | None,
        typer.Option(metavar="I/N", parser=Shard.parse, help="Run part I of N; see `merge`."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the pictures of pipelines go; see --marker."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results of a run that was broken off.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Leave the checkpoints there, for `exchange --kept`."),
    ] = None,
    keep_only: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Keep these checkpoints only; repeatable."),
    ] = None,
) -> None:
    """Run cases, judge them, and tell what they came to."""
    cases = part(chosen(globs or (), markers or ()), shard)
    declared = current_expectations(expectations or ())
    picked = Selection(tuple(globs or ()), tuple(markers or ()), shard=shard)
    writer = (
        resume_results(results, cases, declared, picked)
        if resume
        else open_results(results, len(cases), picked)
    )
    gallery = None if pictures is None else Gallery.at(pictures, beside=results.parent)
    session = Session(tuple(cases), declared, writer, list(writer.held))
    kept = _emptied(Keep(keep, tuple(keep_only or ["*"]))) if keep else None
    interrupted = False
    try:
        with session, ending_like_ctrl_c():
            _run_all(session, workers, timeout, kept, gallery)
            writer.unused = session.unused(default_cases())
    except KeyboardInterrupt:
        interrupted = True
    if kept is not None:
        written_by(read_results(results), kept.has).save(kept.directory)
    planned = len(cases)
    text.show(out, text.summary(session.tally, session.causes, writer.unused, planned=planned))
    state = "partial results" if interrupted else "results"
    go_on = "; the same command with --resume goes on" if interrupted else ""
    text.show(out, text.line(f"\n{state}: {results}{go_on}"))
    text.show(out, text.line(run_report(results, expectations or ())))
    raise typer.Exit(exit_code(session.tally, writer.unused, complete=not interrupted))


def _emptied(keep: Keep) -> Keep:
    """Make the directory, without the index of an earlier run: that one says no more what is there.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        keep.directory.mkdir(parents=True, exist_ok=True)
        (keep.directory / INDEX).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{keep.directory}: {error.strerror}; give --keep another directory"
        ) from None
    return keep


def _run_all(
    session: Session, workers: int, timeout: float, keep: Keep | None, gallery: Gallery | None
) -> None:
    total, done = len(session.cases), len(session.judgements)
    every = max(1, total // text.LOG_LINES)
    reporter = text.Reporter()
    # Reports printed beside a bar on the same terminal must go through the console of the bar.
    terminal = out if out.is_terminal else err
    bar = text.progress(terminal)
    watcher = Watcher(bar, terminal)
    outcomes = run_cases(session.remaining, workers, timeout, watcher, keep, gallery)
    with closing(outcomes), bar:
        task = bar.add_task("cases", total=total, completed=done)
        for number, outcome in enumerate(outcomes, start=done + 1):
            watcher.over(outcome.case)
            judgement = session.add(require_space(outcome))
            bar.advance(task)
            if not judgement.as_expected:
                text.show(out, reporter.report(outcome, judgement))
            if not terminal.is_terminal and number % every == 0:
                err.print(f"{number} of {total} cases, {session.tally.unexpected} not as expected")
