"""`conformance explain`."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.judging.explain import Answer, How, explain
from conformance.judging.summary import ExitCode
from conformance.report import defects as report
from conformance.report import text
from conformance.report.catalogue import defects

EPILOG = """Examples:

[bold]conformance explain 'invalid python storage'[/]

[bold]python train.py 2>&1 | conformance explain -[/]  (a traceback)

[bold]conformance explain safetensors-invalid-storage --json[/]  (an entry by its name)

Exit codes: 0 found, 1 nothing found, 2 usage."""
STDIN = "-"
OTHERS = 5
"""Entries named behind the best."""
WHY = {
    How.NEAR: "no known message; the entries whose words are near",
    How.SAID: "the words stand in its message",
    How.FOUND: "its check finds this",
    How.RAISED: "an exception on the way to the last one",
    How.ENDED: "the last exception",
    How.NAMED: "its name",
}


def command(
    message: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]",
            help=f"A message, words of it, or a name; '{STDIN}' or nothing: standard input.",
        ),
    ] = STDIN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the known defect behind a message or a traceback, and what was measured to help."""
    asked = _pasted() if message == STDIN else message
    if not asked.strip():
        raise UsageError("there is no text to explain; give a message, or pipe a traceback to `-`")
    answers = explain(asked, defects())
    if as_json:
        print(json.dumps([_json(each) for each in answers], indent=1))
    elif answers:
        text.show(text.console(), _shown(answers))
    else:
        nothing = "nothing known is like it; docs/defects.md lists what is known"
        text.show(text.console(stderr=True), text.line(nothing))
    raise typer.Exit(ExitCode.AS_EXPECTED if answers else ExitCode.NOT_AS_EXPECTED)


def _pasted() -> str:
    if sys.stdin.isatty():
        hint = "paste a message or a traceback, then press Ctrl-D on a line of its own"
        text.show(text.console(stderr=True), text.line(hint))
    return sys.stdin.read()


def _json(answer: Answer) -> dict[str, object]:
    found = {"how": answer.how.name.lower(), "closeness": answer.closeness}
    return {**found, **report.to_json(answer.defect)}


def _shown(answers: tuple[Answer, ...]) -> Group:
    best, *others = answers
    parts: list[RenderableType] = [
        text.line(f"found by: {WHY[best.how]}", "dim"),
        report.entry(best.defect, observed_versions()),
    ]
    equal = [each.defect.name for each in others if each.rank == best.rank]
    less = [each.defect.name for each in others if each.rank != best.rank][:OTHERS]
    if equal:
        parts += [Text(), text.line(f"the text fits as well: {', '.join(equal)}", "yellow")]
    if less:
        parts += [Text(), text.line(f"less like it: {', '.join(less)}")]
    return Group(*parts)
