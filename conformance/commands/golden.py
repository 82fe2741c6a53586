"""`conformance golden`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from conformance.commands.complete import environments
from conformance.commands.options import AsJson
from conformance.environment import observed_versions
from conformance.judging.expectations import active
from conformance.judging.judge import judge
from conformance.judging.summary import ExitCode, exit_code, tally
from conformance.report import text
from conformance.versions.golden import DIRECTORY, damage, shelves
from conformance.versions.golden import make as make_golden
from conformance.versions.golden_read import expected, read_all
from conformance.versions.make import tools
from conformance.versions.parties import parties
from conformance.versions.party import Absent, PartyError

app = typer.Typer(help="Checkpoints that old releases wrote.", no_args_is_help=True)
out = text.console()
err = text.console(stderr=True)
Where = Annotated[
    Path, typer.Option("--directory", metavar="DIRECTORY", help="Where the golden files lie.")
]


@app.command(name="list", epilog="Example: [bold]conformance golden list --json[/]")
def list_golden(directory: Where = DIRECTORY, as_json: AsJson = False) -> None:
    """List the golden files, and whether each is as it was committed."""
    found, broken = shelves(directory), list(damage(directory))
    if as_json:
        listed = {
            each.name: {"versions": each.versions, "cases": each.manifest.cases} for each in found
        }
        print(json.dumps({"releases": listed, "damage": broken}, indent=1))
    for shelf in () if as_json else found:
        text.show(out, text.line(f"{shelf.name} ({shelf.manifest.label})", "bold"))
        for case in shelf.manifest.cases:
            text.show(out, text.line(f"  {case}"))
    for each in broken:
        text.show(err, text.line(f"damage: {each}", "red"))
    raise typer.Exit(1 if broken else 0)


@app.command(
    epilog="""Examples:

[bold]conformance golden verify[/]

[bold]conformance exchange -w golden -r torchao0.17.0[/]  (by another version)

Exit codes: 0 as declared, 1 not as declared, 2 usage, 3 inconclusive."""
)
def verify(directory: Where = DIRECTORY, as_json: AsJson = False) -> None:
    """Read every golden file with the installed versions, and judge what comes of it."""
    found = shelves(directory)
    declared = active(expected(found, directory), observed_versions())
    count = sum(len(each.manifest.cases) for each in found)
    with text.counting(err, "golden checkpoints", count) as one_more:
        outcomes = read_all(found, one_more)
    judgements = [judge(each, declared) for each in outcomes.values()]
    reporter = text.Reporter()
    if as_json:
        print(json.dumps([each.to_json() for each in judgements], indent=1))
    for each in () if as_json else judgements:
        if not each.as_expected:
            text.show(out, reporter.report(outcomes[each.case], each))
    if not as_json:
        text.show(out, text.summary(tally(judgements), (), ()))
    raise typer.Exit(exit_code(tally(judgements)))


@app.command(
    epilog="""Example: [bold]conformance golden make torchao0.18.0[/]

What is there is never written again: a new release gets a new directory.

Exit codes: 0 written, 2 usage, 3 an environment that cannot be made or cannot write."""
)
def make(
    names: Annotated[
        list[str], typer.Argument(metavar="ENV...", help="Who writes.", autocompletion=environments)
    ],
    directory: Where = DIRECTORY,
) -> None:
    """Have environments write the golden files of their torchao releases."""
    for name, party in parties(names, tools(err.print)).items():
        if isinstance(party, Absent):
            raise _no_result(party.reason)
        try:
            shelf = make_golden(party, directory, tell=lambda case: err.print(escape(case)))
        except PartyError as error:
            raise _no_result(f"{name} could not write them: {error}") from None
        text.show(out, text.line(f"{shelf.directory}: {len(shelf.manifest.cases)} checkpoints"))
        for case, reason in shelf.manifest.absent.items():
            text.show(out, text.line(f"  not {case}: {reason}"))


def _no_result(reason: str) -> typer.Exit:
    text.show(err, text.line(f"no result: {reason}"))
    return typer.Exit(ExitCode.INCONCLUSIVE)
