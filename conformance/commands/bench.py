"""`conformance bench`."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from conformance.bench import load as bench_load
from conformance.bench import soak as bench_soak
from conformance.bench.gate import measure as measure_gate
from conformance.bench.report import measure as measure_report
from conformance.bench.suite import Figure, measure
from conformance.commands.complete import Globs, environments
from conformance.commands.options import AsJson
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.browser import missing
from conformance.selection import chosen

LOAD = ("flux-tiny.int8wo.*.cpu", "flux-tiny.float8wo.*.cpu")
"""Two schemes by both routes in all formats: 28 round trips in turn."""
SOAK = ("flux-tiny.int8*.cpu",)

app = typer.Typer(help="Measure what the suite costs.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure what the suite costs."""


@app.command(epilog="Example: [bold]conformance bench suite --select 'flux-tiny.*' --runs 1[/]")
def suite(
    globs: Annotated[
        list[str] | None,
        typer.Option("--select", "-s", metavar="GLOB", help="Default cases to run; repeatable."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each part; medians are shown.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time whole runs against a bare script that makes the same library calls."""
    notes = text.console(stderr=True)
    figures = measure(globs or ["*"], runs, lambda note: notes.print(note, highlight=False))
    _show(figures, as_json=as_json)


@app.command(epilog="Example: [bold]conformance bench report --cases 2000[/]")
def report(
    cases: Annotated[int, typer.Option(min=1, help="Cases in the report.")] = 2000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each part; medians are shown.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time the HTML report of made-up results, and in Chromium where there is one."""
    _show(measure_report(cases, runs), as_json=as_json)
    if lacking := missing():
        note = f"not measured in a browser: {lacking}"
        text.show(text.console(stderr=True), text.line(note))


@app.command(
    epilog="Example: [bold]conformance bench gate --baseline torchao0.17.0 "
    "--candidate torchao0.18.0 -s 'flux-tiny.int8*.cpu'[/]"
)
def gate(
    baseline: Annotated[
        str, typer.Option(metavar="ENV", help="As in `gate`.", autocompletion=environments)
    ],
    candidate: Annotated[
        str, typer.Option(metavar="ENV", help="As in `gate`.", autocompletion=environments)
    ],
    globs: Globs = None,
    workers: Annotated[int, typer.Option("-n", min=1, help="Engines at work in each run.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Time a gate, with its exchange, against plain runs of both sides one after the other."""
    notes = text.console(stderr=True)
    tell = partial(notes.print, highlight=False)
    _show(measure_gate((baseline, candidate), globs or (), workers, tell), as_json=as_json)


@app.command(epilog="Example: [bold]conformance bench load --trips 1000 --output load.json[/]")
def load(
    trips: Annotated[int, typer.Option(min=10, help="Round trips in one process.")] = 1000,
    globs: Globs = None,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The numbers, as JSON; a plot (SVG) beside it.")
    ] = Path("conformance-load.json"),
    as_json: AsJson = False,
) -> None:
    """Do round trips in one process, and tell whether its memory stays flat."""
    cases = [each.id for each in chosen(globs or LOAD, ())]
    notes = text.console(stderr=True)
    step = max(1, trips // 10)

    def tell(done: int) -> None:
        if done % step == 0:
            notes.print(f"{done} of {trips} round trips", highlight=False)

    found = bench_load.measure(cases, trips, tell)
    bench_load.save(output, found)
    _show(bench_load.figures(found), as_json=as_json)
    raise typer.Exit(ExitCode.AS_EXPECTED if found.flat else ExitCode.NOT_AS_EXPECTED)


@app.command(epilog="Example: [bold]conformance bench soak --minutes 30 -n 2[/]")
def soak(
    minutes: Annotated[float, typer.Option(min=0, help="How long to begin further runs.")] = 30,
    globs: Globs = None,
    workers: Annotated[int, typer.Option("-n", min=1, help="Engines at work in each run.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the kills.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Kill workers at random, run after run, and tell whether a result is lost or doubled."""
    notes = text.console(stderr=True)
    tell = partial(notes.print, highlight=False)
    found = bench_soak.measure(globs or SOAK, minutes, workers, seed, tell)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        table = text.folding_table()
        for name, value in found.as_json().items():
            table.add_row(name, ", ".join(value) if isinstance(value, list) else str(value))
        text.show(text.console(), table)
    raise typer.Exit(ExitCode.AS_EXPECTED if found.sound else ExitCode.NOT_AS_EXPECTED)


def _show(figures: Iterable[Figure], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(each) for each in figures], indent=1))
        return
    table = text.folding_table("figure", "measured", "", "aim")
    table.columns[1].justify = "right"
    for each in figures:
        table.add_row(each.name, f"{each.measured:.2f}", each.unit, each.aim)
    text.show(text.console(), table)
