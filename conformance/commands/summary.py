"""`conformance summary`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from conformance._compat import StrEnum
from conformance.axes import registry
from conformance.case import all_cases, default_routes
from conformance.errors import UsageError
from conformance.judging.results import Results, read_results
from conformance.report import text
from conformance.report.badges import badges
from conformance.report.github import Fit
from conformance.report.junit import junit
from conformance.report.run_markdown import run_markdown
from conformance.session import axes_of

EPILOG = """Examples:

[bold]conformance summary conformance-results.jsonl >> "$GITHUB_STEP_SUMMARY"[/]

[bold]conformance summary conformance-results.jsonl --fit issue[/]  (to paste into an issue)

[bold]conformance summary conformance-results.jsonl --format junit -o junit.xml[/]

[bold]conformance summary conformance-results.jsonl --format badges -o badges[/]  \
(Shields endpoint JSON, a file for every scheme and route)

It runs nothing, and ends with 0 whatever the results say: `run` has judged them. 2 usage."""


class Form(StrEnum):
    """What is made of the results."""

    MARKDOWN = "markdown"
    JUNIT = "junit"
    BADGES = "badges"


def command(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Results of a run.")],
    form: Annotated[
        Form, typer.Option("--format", help="Markdown, JUnit XML, or a folder of badges.")
    ] = Form.MARKDOWN,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="A file, or a folder for badges."),
    ] = None,
    fit: Annotated[
        Fit, typer.Option("--fit", help="Where GitHub shows the Markdown: its limit.")
    ] = Fit.STEP,
) -> None:
    """Tell a run to CI: Markdown for GitHub, JUnit XML, or badges."""
    found = read_results(results)
    if form is Form.BADGES:
        _write_badges(found, output)
        return
    told = MAKERS[form](found, fit)
    if output is None:
        print(told, end="")
    else:
        _write(output, told)


def _markdown(results: Results, fit: Fit) -> str:
    return run_markdown(results, axes_of(all_cases().values()), fit.limit)


def _junit(results: Results, fit: Fit) -> str:
    del fit  # files have no limit
    return junit(results, {case.id: case.scheme.name for case in all_cases().values()})


MAKERS: Mapping[Form, Callable[[Results, Fit], str]] = {
    Form.MARKDOWN: _markdown,
    Form.JUNIT: _junit,
}


def _write_badges(results: Results, folder: Path | None) -> None:
    if folder is None:
        raise UsageError("badges are many files; name their folder: --output DIR")
    pairs = [(scheme, route) for scheme in registry.schemes() for route in default_routes()]
    made = badges(results, axes_of(all_cases().values()), pairs)
    for name, badge in made.items():
        _write(folder / name, json.dumps(badge) + "\n")
    text.show(text.console(stderr=True), text.line(f"{len(made)} badges: {folder}"))


def _write(path: Path, content: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    except (FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; give a path that you may write to"
        ) from None
