"""The command line face."""

import io
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from conformance.axes import registry
from conformance.bench import command as bench
from conformance.case import default_cases, find
from conformance.commands import bisect, compare, envs, exchange, gate, golden, merge, own
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.judging.results import Selection, read_results
from conformance.judging.summary import ExitCode, exit_code
from conformance.report import text
from conformance.roundtrip.engine import TIMEOUT, probe
from conformance.runner import run_cases
from conformance.selection import chosen, part
from conformance.session import Session, current_expectations, open_results, resume_results
from conformance.shard import Shard

app = typer.Typer(
    help="Does a quantized checkpoint still come back as what was saved?",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
out = text.console()
err = text.console(stderr=True)

CommandLineError: Any = typer.BadParameter.__bases__[0]
"""What typer raises for a bad command line; the release of typer decides where it is defined."""
INTERRUPTED = 130
"""What a shell reports for Ctrl-C."""

Globs = Annotated[
    list[str] | None,
    typer.Option("--select", "-s", metavar="GLOB", help="Cases whose id matches; repeatable."),
]
Markers = Annotated[
    list[str] | None,
    typer.Option("--marker", "-m", metavar="NAME", help="Only cases with this marker; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LOG_LINES = 20
"""Lines of progress in a log that is no terminal."""


@app.command(
    epilog="""Examples:

[bold]conformance run[/]  (tiny models on CPU)

[bold]conformance run -n 2 --results results.jsonl[/]

[bold]conformance run --select 'flux-*.int8wo.*.pickle*.cpu'[/]

[bold]conformance run --marker small[/]  (size ratios)

[bold]conformance run --results results.jsonl --resume[/]  (after Ctrl-C or a crash)

[bold]conformance run --shard 2/4 --results shard-2.jsonl[/]  (then `conformance merge`)

Exit codes: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive."""
)
def run(
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results of a run that was broken off.")
    ] = False,
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
    session = Session(tuple(cases), declared, writer, list(writer.held))
    interrupted = False
    try:
        with session:
            _run_all(session, workers, timeout)
            writer.unused = session.unused(default_cases())
    except KeyboardInterrupt:
        interrupted = True
    planned = len(cases)
    text.show(out, text.summary(session.tally, session.causes, writer.unused, planned=planned))
    state = "partial results" if interrupted else "results"
    go_on = "; the same command with --resume goes on" if interrupted else ""
    text.show(out, text.line(f"\n{state}: {results}{go_on}"))
    raise typer.Exit(exit_code(session.tally, writer.unused, complete=not interrupted))


def _run_all(session: Session, workers: int, timeout: float) -> None:
    total, done = len(session.cases), len(session.judgements)
    every = max(1, total // LOG_LINES)
    reporter = text.Reporter()
    # Reports printed beside a bar on the same terminal must go through the console of the bar.
    terminal = out if out.is_terminal else err
    outcomes = run_cases(session.remaining, workers, timeout)
    with closing(outcomes), text.progress(terminal) as bar:
        task = bar.add_task("cases", total=total, completed=done)
        for number, outcome in enumerate(outcomes, start=done + 1):
            judgement = session.add(outcome)
            bar.advance(task)
            if not judgement.as_expected:
                text.show(out, reporter.report(outcome, judgement))
            if not terminal.is_terminal and number % every == 0:
                err.print(f"{number} of {total} cases, {session.tally.unexpected} not as expected")


def _asked() -> dict[tuple[str, str], str]:
    with err.status("asking torchao what it can do here"):
        return probe()


@app.command(name="list", epilog="Example: [bold]conformance list --select 'flux-tiny.nvfp4*'[/]")
def list_cases(globs: Globs = None, markers: Markers = None, as_json: AsJson = False) -> None:
    """List cases, each with what it can give on this machine."""
    cases = chosen(globs or (), markers or ())
    can = _asked()
    rows = [(each, can[each.scheme.name, str(each.device)]) for each in cases]
    if as_json:
        print(json.dumps({each.id: status for each, status in rows}, indent=1))
        return
    width = max(len(each.id) for each, _ in rows)
    for each, status in rows:
        print(f"{each.id:{width}}  {status}")
    running = sum(1 for _, status in rows if not status.startswith("no result"))
    err.print(f"{len(rows)} cases, {running} of them can be measured here")


@app.command(epilog="Example: [bold]conformance show flux-tiny.int8wo.quantize_.safetensors.cpu[/]")
def show(
    case_id: Annotated[str, typer.Argument(metavar="CASE")],
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also show its result from this file.")
    ] = None,
) -> None:
    """Show a case: its axes, what it can give here, what is expected of it, and its result."""
    case = find(case_id)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("subject", f"{case.subject.name}, {case.subject.parameters:,} parameters")
    for name, axis in (("scheme", case.scheme), ("route", case.route), ("format", case.format)):
        table.add_row(name, escape(f"{axis.name}: {axis.title}"))
    table.add_row("device", str(case.device))
    table.add_row("here", escape(_asked()[case.scheme.name, str(case.device)]))
    for each in current_expectations():
        if each.about(case.id):
            table.add_row("expected", escape(f"{each.kind}: {each.name}. {each.reason}"))
            table.add_row("", escape(each.issue))
    text.show(out, table)
    if results is not None:
        found = read_results(results).cases.get(case.id)
        if found is None:
            raise UsageError(f"{results} has no result of {case.id}")
        text.show(out, text.case_report(found.outcome, found.judgement))
    else:
        text.show(out, text.line(f"run it: {text.rerun_command(case.id)}"))


@app.command(epilog="Example: [bold]conformance schemes --json[/]")
def schemes(as_json: AsJson = False) -> None:
    """List the schemes with what each can give on this machine, on CPU and on CUDA."""
    can = _asked()
    known = registry.schemes().values()
    if as_json:
        rows = {each.name: {d: can[each.name, d] for d in ("cpu", "cuda")} for each in known}
        print(json.dumps(rows, indent=1))
        return
    table = Table("scheme", "what it is", "cpu", "cuda", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for each in known:
        here = [escape(can[each.name, device]) for device in ("cpu", "cuda")]
        table.add_row(each.name, escape(each.title), *here)
    text.show(out, table)


@app.command(epilog="Example: [bold]conformance env --json[/]")
def env(as_json: AsJson = False) -> None:
    """Show the installed versions and the machine."""
    versions, machine = observed_versions(), hardware()
    if as_json:
        print(json.dumps({"versions": versions, "hardware": machine}, indent=1))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in {**versions, **machine}.items():
        table.add_row(name, escape(value))
    text.show(out, table)


app.add_typer(bench.app, name="bench")
app.command(name="bisect", epilog=bisect.EPILOG)(bisect.command)
app.command(name="compare", epilog=compare.EPILOG)(compare.command)
app.command(name="merge", epilog=merge.EPILOG)(merge.command)
app.add_typer(envs.app, name="envs")
exchange.register(app)
app.add_typer(golden.app, name="golden")
app.command(name="gate", epilog=gate.EPILOG)(gate.command)
own.register(app)


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a log that knows no ticks must not end the run
            stream.reconfigure(errors="replace")
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UsageError as error:
        code = _refuse(str(error))
    except CommandLineError as error:
        code = _refuse(f"{error.format_message().rstrip('.')}; `conformance --help` shows how")
    except typer.Abort:
        code = INTERRUPTED
    sys.exit(code)


def _refuse(reason: str) -> int:
    text.show(err, text.line(f"conformance: {reason}", "red"))
    return ExitCode.USAGE


if __name__ == "__main__":
    main()
