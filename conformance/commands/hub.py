"""`conformance hub`."""

import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.options import AsJson
from conformance.errors import UsageError
from conformance.hub.known import as_json, as_known
from conformance.hub.result import Result
from conformance.hub.run import environment, run
from conformance.hub.scenes import Scene, Trouble, scenes
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.hub import shown
from conformance.roundtrip.ladder import HarnessError

EPILOG = """Examples:

[bold]conformance hub --endpoint http://127.0.0.1:8080 --namespace me[/]

[bold]HF_TOKEN=... conformance hub --hub --namespace me --select '*.safetensors.*'[/]

Repositories are private, begin with `conformance-`, and are deleted again.
HF_TOKEN must be set, also for a server that asks for none.
Exit codes: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive."""

out = text.console()
err = text.console(stderr=True)


def command(
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="The user or organization that owns repositories.")
    ],
    endpoint: Annotated[
        str, typer.Option(metavar="URL", help="A server that speaks the endpoints of the Hub.")
    ] = "",
    hub: Annotated[bool, typer.Option("--hub", help="Go to the real Hub instead.")] = False,
    globs: Annotated[
        list[str] | None,
        typer.Option("--select", "-s", metavar="GLOB", help="Ways up, as `push.format.where`."),
    ] = None,
    as_json_: AsJson = False,
) -> None:
    """Push quantized checkpoints to a Hub, and tell whether they come back bit by bit."""
    asked = _asked(globs or ["*"])
    if bool(endpoint) == hub:
        raise UsageError("give either --endpoint URL or --hub")
    if not (token := os.environ.get("HF_TOKEN")):
        raise UsageError("HF_TOKEN is not set; set it to a token that may write")
    found: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as home:
        whole = _measure(asked, namespace, environment(endpoint, Path(home), token), found)
    where = endpoint or "the Hub"
    print(json.dumps(as_json(found), indent=1)) if as_json_ else text.show(out, shown(found, where))
    raise typer.Exit(_code(found, whole))


def _code(found: Iterable[Result], whole: bool) -> ExitCode:
    if not whole:
        return ExitCode.INCONCLUSIVE
    return ExitCode.AS_EXPECTED if all(map(as_known, found)) else ExitCode.NOT_AS_EXPECTED


def _asked(globs: list[str]) -> list[Scene | Trouble]:
    known: dict[str, Scene | Trouble] = {each.id: each for each in scenes()}
    known |= {str(each): each for each in Trouble}
    found = [each for name, each in known.items() if any(fnmatchcase(name, g) for g in globs)]
    if not found:
        raise UsageError(f"no way up is called {' or '.join(globs)}; one is {next(iter(known))}")
    return found


def _measure(
    asked: list[Scene | Trouble], namespace: str, variables: dict[str, str], found: list[Result]
) -> bool:
    """Add what each way gave; True when nothing is missing."""
    terminal = out if out.is_terminal else err
    try:
        with closing(run(asked, namespace, variables)) as results, text.progress(terminal) as bar:
            task = bar.add_task("readings", total=None)
            for each in results:
                found.append(each)
                bar.advance(task)
                if not terminal.is_terminal and len(found) % 10 == 0:
                    err.print(f"{len(found)} readings and failed pushes")
    except KeyboardInterrupt:
        return False
    except HarnessError as error:
        text.show(err, text.line(f"conformance: {error}", "red"))
        return False
    return True
