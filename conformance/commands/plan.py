"""`conformance plan`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from conformance.axes.base import Size
from conformance.commands.complete import Globs, Markers
from conformance.errors import UsageError
from conformance.judging.results import read_results
from conformance.report import large, text
from conformance.roundtrip.planning import plan
from conformance.selection import chosen

EPILOG = """Examples:

[bold]conformance plan -m full[/]  (before `conformance run -m full`)

[bold]conformance plan -m full -s 'flux-schnell.*'[/]

[bold]conformance plan --measured results.jsonl[/]  (what such a run took)

Exit codes: 0 some case can be measured here, 2 usage, 3 none can."""
INCONCLUSIVE = 3


def command(
    globs: Globs = None,
    markers: Markers = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Tell what the cases of results files took; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell the memory, disk and time that full-size cases will need, before they are run."""
    if measured:
        runs = [read_results(each) for each in measured]
        as_data = json.dumps(large.measured_json(runs), indent=1) + "\n" if as_json else ""
        print(as_data or large.measured_tables(runs), end="")
        return
    cases = [
        each
        for each in chosen(globs or (), markers or ([] if globs else [str(Size.FULL)]))
        if each.subject.size is Size.FULL
    ]
    if not cases:
        raise UsageError("only full-size cases have a plan; `conformance plan -m full` prints it")
    err = text.console(stderr=True)
    rows = []
    with err.status("planning") as status:
        for each in plan(cases):
            rows.append(each)
            status.update(f"planning: {len(rows)} of {len(cases)} cases")
    out = text.console()
    if as_json:
        print(json.dumps([vars(each) for each in rows], indent=1))
    else:
        text.show(out, large.plan_table(rows))
        text.show(out, text.line(f"\n{large.plan_line(rows)}"))
    raise typer.Exit(0 if any(not each.reason for each in rows) else INCONCLUSIVE)
