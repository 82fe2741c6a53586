"""`conformance compare`."""

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from conformance.case import all_cases
from conformance.commands.options import AsJson
from conformance.errors import UsageError
from conformance.judging.accept import Acceptance, load_acceptances
from conformance.judging.comparison import Comparison, Decision, Side, compare
from conformance.judging.results import Results, read_results
from conformance.report import comparison as report
from conformance.report import text
from conformance.report.markdown import markdown
from conformance.session import axes_of

EPILOG = """Examples:

[bold]conformance compare torchao-0.17.jsonl torchao-0.18.jsonl[/]

[bold]conformance compare before.jsonl after.jsonl --accept reviewed.toml --json[/]

[bold]conformance compare before.jsonl after.jsonl --markdown >> "$GITHUB_STEP_SUMMARY"[/]

[bold]conformance compare once.jsonl again.jsonl --self-check[/]  (what is flaky)

Exit codes: 0 compatible, 1 blocked (or flaky), 2 usage, 3 inconclusive."""


def command(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Results of the old versions.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Results of the new versions.")],
    accept: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Reviewed exceptions, as TOML.")
    ] = None,
    retry: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Cases of AFTER that were run once more; repeatable."),
    ] = None,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Two runs of the same versions: what is flaky?")
    ] = False,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for the summary of a CI job.")
    ] = False,
) -> None:
    """Compare two results files: may we upgrade, and what would break?"""
    if as_markdown and (as_json or self_check):
        raise UsageError("--markdown goes with neither --json nor --self-check; give one of them")
    sides = Side(read_results(before)), Side(read_results(after), _read_all(retry or ()))
    today = datetime.now(timezone.utc).date()
    accepted = acceptances(accept, (side.run for side in sides))
    found = compare(*sides, axes_of(all_cases().values()), accepted, today)
    decision, shown = _self_check(found) if self_check else (found.decision, report.report(found))
    if as_json:
        print(json.dumps(report.to_json(found), indent=1))
    elif as_markdown:
        print(markdown(found), end="")
    else:
        text.show(text.console(), shown)
    raise typer.Exit(decision.exit_code)


def _self_check(found: Comparison) -> tuple[Decision, Group]:
    if found.versions:
        raise UsageError(
            f"--self-check wants two runs of the same versions, and they differ: "
            f"{report.upgrade(found)}; leave the option out"
        )
    return found.steadiness, report.self_check_report(found)


def acceptances(path: Path | None, runs: Iterable[Results]) -> tuple[Acceptance, ...]:
    """Read the exceptions; their globs may match every case there is, here or in a run.

    Raises:
        UsageError: the file cannot be read, or an entry is wrong.
    """
    if path is None:
        return ()
    known = {*all_cases(), *(case for run in runs for case in run.cases)}
    return load_acceptances(path, known, datetime.now(timezone.utc).date())


def _read_all(paths: Iterable[Path]) -> tuple[Results, ...]:
    return tuple(read_results(path) for path in paths)
