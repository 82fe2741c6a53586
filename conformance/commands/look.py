"""`conformance list`, `show`, `schemes` and `env`: what there is here, without running a case."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from conformance.axes import registry
from conformance.case import Case, find
from conformance.commands.complete import CaseId, Globs, Markers
from conformance.environment import hardware, observed_versions
from conformance.errors import UnavailableError, UsageError
from conformance.judging.expectations import Expectation
from conformance.judging.results import Result, read_results
from conformance.report import text
from conformance.roundtrip.engine import probe
from conformance.roundtrip.possible import require_time
from conformance.selection import chosen
from conformance.session import current_expectations

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EXAMPLES = {
    "list": "Example: [bold]conformance list --select 'flux-tiny.nvfp4*'[/]",
    "show": "Example: [bold]conformance show flux-tiny.int8wo.quantize_.safetensors.cpu[/]",
    "schemes": "Example: [bold]conformance schemes --json[/]",
    "env": "Example: [bold]conformance env --json[/]",
}

out = text.console()
err = text.console(stderr=True)


def register(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command(name="list", epilog=EXAMPLES["list"])(list_cases)
    app.command(name="show", epilog=EXAMPLES["show"])(show)
    app.command(name="schemes", epilog=EXAMPLES["schemes"])(schemes)
    app.command(name="env", epilog=EXAMPLES["env"])(env)


def _asked() -> dict[tuple[str, str], str]:
    with err.status("asking torchao what it can do here"):
        return probe()


def _here(case: Case, can: Mapping[tuple[str, str], str]) -> str:
    """Say what a case can give on this machine."""
    try:
        require_time(case)
    except UnavailableError as error:
        return f"no result: {error}"
    return can[case.scheme.name, str(case.device)]


def list_cases(globs: Globs = None, markers: Markers = None, as_json: AsJson = False) -> None:
    """List cases, each with what it can give on this machine."""
    cases = chosen(globs or (), markers or ())
    can = _asked()
    rows = [(each, _here(each, can)) for each in cases]
    if as_json:
        print(json.dumps({each.id: status for each, status in rows}, indent=1))
        return
    width = max(len(each.id) for each, _ in rows)
    for each, status in rows:
        print(f"{each.id:{width}}  {status}")
    running = sum(1 for _, status in rows if not status.startswith("no result"))
    err.print(f"{len(rows)} cases, {running} of them can be measured here")


def show(
    case_id: CaseId,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also show its result from this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a case: its axes, what is expected of it, what it can give here, and its result."""
    case = find(case_id)
    result = None if results is None else _result(results, case)
    here = _here(case, _asked())
    expected = [each for each in current_expectations() if each.about(case.id)]
    if as_json:
        print(json.dumps(_shown(case, here, expected, result), indent=1))
        return
    text.show(out, _table(case, here, expected))
    if result is not None:
        text.show(out, text.case_report(result.outcome, result.judgement))
    else:
        text.show(out, text.line(f"run it: {text.rerun_command(case.id)}"))


def _result(path: Path, case: Case) -> Result:
    found = read_results(path).cases.get(case.id)
    if found is None:
        raise UsageError(
            f"{path} has no result of {case.id}; `{text.rerun_command(case.id)}` makes one"
        )
    return found


def _axes(case: Case) -> dict[str, str]:
    axes = (("scheme", case.scheme), ("route", case.route), ("format", case.format))
    return {
        "subject": f"{case.subject.name}, {case.subject.parameters:,} parameters",
        **{name: f"{axis.name}: {axis.title}" for name, axis in axes},
        "device": str(case.device),
    }


def _table(case: Case, here: str, expected: list[Expectation]) -> Table:
    table = text.folding_table()
    for name, words in {**_axes(case), "here": here}.items():
        table.add_row(name, escape(words))
    for each in expected:
        table.add_row("expected", escape(f"{each.kind}: {each.name}. {each.reason}"))
        table.add_row("", escape(each.issue))
    return table


def _shown(
    case: Case, here: str, expected: list[Expectation], result: Result | None
) -> dict[str, Any]:
    return {
        "case": case.id,
        **_axes(case),
        "here": here,
        "expected": [
            {"kind": str(e.kind), "name": e.name, "reason": e.reason, "issue": e.issue}
            for e in expected
        ],
        "result": None
        if result is None
        else {"outcome": result.outcome.to_json(), "judgement": result.judgement.to_json()},
    }


def schemes(as_json: AsJson = False) -> None:
    """List the schemes with what each can give on this machine, on CPU and on CUDA."""
    can = _asked()
    known = registry.schemes().values()
    if as_json:
        rows = {each.name: {d: can[each.name, d] for d in ("cpu", "cuda")} for each in known}
        print(json.dumps(rows, indent=1))
        return
    table = text.folding_table("scheme", "what it is", "cpu", "cuda")
    for each in known:
        here = [escape(can[each.name, device]) for device in ("cpu", "cuda")]
        table.add_row(each.name, escape(each.title), *here)
    text.show(out, table)


def env(as_json: AsJson = False) -> None:
    """Show the installed versions and the machine."""
    versions, machine = observed_versions(), hardware()
    if as_json:
        print(json.dumps({"versions": versions, "hardware": machine}, indent=1))
        return
    table = text.folding_table()
    for name, value in {**versions, **machine}.items():
        table.add_row(name, escape(value))
    text.show(out, table)
