"""`conformance bench`."""

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table

from conformance.axes.base import Device
from conformance.bench import load as bench_load
from conformance.bench import model as models
from conformance.bench import shown
from conformance.bench import soak as bench_soak
from conformance.bench.benched import NONE
from conformance.bench.gate import measure as measure_gate
from conformance.bench.report import measure as measure_report
from conformance.bench.suite import Figure, measure
from conformance.commands.complete import Globs, environments
from conformance.commands.options import AsJson
from conformance.errors import UsageError
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.browser import missing
from conformance.selection import chosen
from conformance.versions.runs import ending_like_ctrl_c

LOAD = ("flux-tiny.int8wo.*.cpu", "flux-tiny.float8wo.*.cpu")
"""Two schemes by both routes in all formats: 28 round trips in turn."""
SOAK = ("flux-tiny.int8*.cpu",)

app = typer.Typer(
    help="Measure what the suite costs, and what a quantized model gives.", no_args_is_help=True
)


@app.callback()
def bench() -> None:
    """Measure what the suite costs, and what a quantized model gives."""


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
    notes = text.console(stderr=True)
    with text.busy(notes, f"drawing {cases} cases {runs} times"):
        figures = list(measure_report(cases, runs))
    _show(figures, as_json=as_json)
    if lacking := missing():
        text.show(notes, text.line(f"not measured in a browser: {lacking}"))


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


MODEL = """Examples:

[bold]conformance bench model[/]  (a small FLUX on the CPU; FLUX.1-schnell where there is CUDA)

[bold]conformance bench model cogvideox-small --scheme none --scheme int8wo --runs 5[/]

[bold]conformance bench model --compile --results bench.json --plot bench.svg[/]

[bold]conformance bench model flux-schnell --device cuda --scheme none --scheme int8wo[/]

Exit codes: 0 every row has numbers, 2 usage, 3 a row has none."""


@app.command(epilog=MODEL)
def model(
    name: Annotated[
        str | None, typer.Argument(help="What is benched; by default what fits the device.")
    ] = None,
    schemes: Annotated[
        list[str] | None,
        typer.Option("--scheme", metavar="NAME", help="A row each; repeatable."),
    ] = None,
    device: Annotated[
        Device | None, typer.Option(help="By default cuda where there is a GPU.")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Pictures after the first; the median.")] = 3,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Add a row with torch.compile to each.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest time for one process.")
    ] = 3600.0,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the numbers as JSON, row by row.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them: .svg, .png or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time whole pipelines that draw with the reloaded model, with and without quantization."""
    where = device or (Device.CUDA if models.has_cuda() else Device.CPU)
    plan = models.Plan(
        name or models.default_name(where),
        tuple(schemes or (NONE, "int8wo", "int8dq", "float8wo")),
        where,
        runs,
        (False, True) if compiled else (False,),
        timeout,
    )
    drawn = None if plot is None else shown.plottable(plot)
    figures = _benched(models.checked(plan), results)
    if drawn is not None:
        shown.plot(figures, drawn)
    if as_json:
        print(json.dumps(figures.to_json(), indent=1))
    else:
        lines = map(text.line, ["", *shown.notes(figures)])
        text.show(text.console(), Group(_table(figures), *lines))
    raise typer.Exit(ExitCode.INCONCLUSIVE if any(each.reason for each in figures.rows) else 0)


def _benched(plan: models.Plan, results: Path | None) -> models.Bench:
    """Measure row after row; what is measured is written at once."""
    notes = text.console(stderr=True)
    rows = models.measure(plan, lambda note: notes.print(note, highlight=False))
    with ending_like_ctrl_c(), closing(rows):
        for so_far in rows:
            figures = so_far
            if results is not None:
                _write(figures, results)
    return figures


def _write(figures: models.Bench, results: Path) -> None:
    try:
        results.write_text(json.dumps(figures.to_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write the numbers to {results}: {error.strerror or error}; give another path"
        ) from None


def _table(figures: models.Bench) -> Table:
    head, rows = shown.cells(figures)
    table = text.folding_table(*head)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    return table
