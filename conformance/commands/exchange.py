"""`conformance exchange` and `conformance matrix`."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from conformance.case import Case, find, require_inert, select
from conformance.commands.complete import Globs, environments, writers
from conformance.commands.options import AsJson, EnvironmentsFile
from conformance.commands.report import exchange_report
from conformance.errors import UsageError
from conformance.judging.exchange import Cell
from conformance.judging.exchange_results import (
    ExchangeHeader,
    ExchangeResults,
    ExchangeWriter,
    earlier_cells,
    now,
    read_exchange,
)
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.matrix import headline, matrix
from conformance.roundtrip.engine import TIMEOUT
from conformance.versions import exchange as versions
from conformance.versions.golden import DIRECTORY, shelves
from conformance.versions.make import tools
from conformance.versions.parties import parties
from conformance.versions.party import Absent

out = text.console()
err = text.console(stderr=True)
GOLDEN = "golden"
"""In the place of an environment: the golden files are the writers."""

Writers = Annotated[
    list[str],
    typer.Option(
        "--writers",
        "-w",
        metavar="ENV",
        help=f"Environments that write; repeatable. '{GOLDEN}' stands for the golden files.",
        autocompletion=writers,
    ),
]
Readers = Annotated[
    list[str],
    typer.Option(
        "--readers",
        "-r",
        metavar="ENV",
        help="Environments that read; repeatable.",
        autocompletion=environments,
    ),
]


RUN = """Examples:

[bold]conformance exchange -w torchao0.17.0 -w torchao0.18.0 -r torchao0.18.0[/]

[bold]conformance exchange -w 'torchao==0.17.0 diffusers==0.42.1' -r torchao0.18.0 \
-s 'flux-tiny.int8wo.*.cpu'[/]

[bold]conformance exchange -w golden -r torchao0.18.0[/]

Exit codes: 0 every cell is usable, 1 some are not, 2 usage, 3 inconclusive."""
SHOW = "Example: [bold]conformance matrix conformance-exchange.jsonl[/]"


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command(name="exchange", epilog=RUN)(run)
    app.command(name="matrix", epilog=SHOW)(show)


def run(
    writers: Writers,
    readers: Readers,
    globs: Globs = None,
    results: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the results go, as JSON lines.")
    ] = Path("conformance-exchange.jsonl"),
    kept: Annotated[
        Path | None,
        typer.Option(
            metavar="DIRECTORY", help="Keep the checkpoints here; a later run uses them again."
        ),
    ] = None,
    file: EnvironmentsFile = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest time for one reading.")
    ] = TIMEOUT,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take over what the results file holds already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have every writer write, and every reader read all of it; draw who can read whom."""
    golden = writers == [GOLDEN]
    chosen = _golden_cases(globs) if golden else select(globs or versions.DEFAULT)
    require_inert(chosen)
    if kept is not None:
        _make(kept)
    own = [] if golden else writers
    found = parties(dict.fromkeys([*own, *readers]), tools(_tell), file)
    for each in found.values():
        if isinstance(each, Absent):
            _tell(f"no result: {each.reason}")
    with ExitStack() as stack:
        directory = kept or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plan = versions.plan(
            shelves() if golden else [found[name] for name in own],
            [found[name] for name in readers],
            chosen,
            tuple(globs or versions.DEFAULT),
            directory.resolve(),
            timeout,
        )
        interrupted = _write(plan, results, resume=resume)
    read = read_exchange(results)
    _show(read, results, as_json)
    text.show(err if as_json else out, text.line(exchange_report(read, results)))
    raise typer.Exit(_exit_code(read, interrupted=interrupted))


def show(results: Annotated[Path, typer.Argument(metavar="FILE")], as_json: AsJson = False) -> None:
    """Draw the matrix of an exchange from its results file."""
    _show(read_exchange(results), results, as_json)


def _make(kept: Path) -> None:
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{kept}: {error.strerror}; give --kept another directory") from None


def _tell(note: str) -> None:
    err.print(note, soft_wrap=True, markup=False)


def _golden_cases(globs: Iterable[str] | None) -> list[Case]:
    ids = dict.fromkeys(case for shelf in shelves(DIRECTORY) for case in shelf.manifest.cases)
    cases = [find(each) for each in ids]
    return select(globs, cases) if globs else cases


def _write(plan: versions.Plan, results: Path, *, resume: bool) -> bool:
    """Run the exchange into a file; return whether Ctrl-C ended it."""
    header = ExchangeHeader(
        writers={name: dict(each.versions) for name, each in plan.writers.items()},
        readers={name: dict(each.versions) for name, each in plan.readers.items()},
        cases=tuple(case.id for case in plan.cases),
        globs=plan.globs,
        started=now(),
    )
    earlier = earlier_cells(results, header) if resume else ()
    cells = versions.exchange(plan, _tell, {cell.id for cell in earlier})
    try:
        with ExchangeWriter(results, header) as writer, closing(cells), text.progress(err) as bar:
            task = bar.add_task("cells", total=plan.planned)
            for cell in chain(earlier, cells):
                writer.write(cell)
                bar.advance(task)
    except KeyboardInterrupt:
        return True
    return False


def kinds(cases: Iterable[str]) -> dict[str, str]:
    """Return what the grid of each case is called: scheme, route and format."""
    found = {}
    for each in map(find, cases):
        device = "" if each.device == "cpu" else f" {each.device}"
        found[each.id] = f"{each.scheme.name} {each.route.name} {each.format.name}{device}"
    return found


def _show(results: ExchangeResults, path: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(results), indent=1))
        return
    text.show(out, matrix(results, kinds(results.header.cases)))
    text.show(out, text.line(f"\nresults: {path}"))


def _as_json(results: ExchangeResults) -> Mapping[str, object]:
    def short(cell: Cell) -> dict[str, object]:
        whole = cell.to_json()
        return {name: whole[name] for name in ("verdict", "weights", "config", "blocked_by")} | {
            "unmeasured": cell.unmeasured
        }

    return {
        "headline": headline(results),
        "complete": results.complete,
        "cells": {cell.id: short(cell) for cell in results.cells},
    }


def _exit_code(results: ExchangeResults, *, interrupted: bool) -> ExitCode:
    """A cell without a checkpoint says nothing against an upgrade; one nobody can read does."""
    verdicts = [cell.verdict for cell in results.cells if cell.verdict is not None]
    if any(not each.usable for each in verdicts):
        return ExitCode.NOT_AS_EXPECTED
    whole = results.complete and not interrupted
    return ExitCode.AS_EXPECTED if verdicts and whole else ExitCode.INCONCLUSIVE
