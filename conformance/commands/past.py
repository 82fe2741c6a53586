"""`conformance past`."""

import json
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import typer

from conformance.commands.options import AsJson
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.judging.summary import ExitCode
from conformance.past.result import Past, Pasts, save
from conformance.past.run import TIMEOUT, run
from conformance.past.scenes import Scene, scenes
from conformance.report import text
from conformance.report.past import as_json, shown
from conformance.roundtrip.ladder import HarnessError

EPILOG = """Examples:

[bold]conformance past[/]

[bold]conformance past --select 'killed/*.safetensors' --results killed.jsonl[/]

Exit codes: 0 measured, 2 usage, 3 inconclusive (a scene could not be played, or Ctrl-C)."""
LOG_LINES = 20

out = text.console()
err = text.console(stderr=True)


def command(
    globs: Annotated[
        list[str] | None,
        typer.Option("--select", "-s", metavar="GLOB", help="Pasts, as `kind/name.format`."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest time for a save or a reading.")
    ] = TIMEOUT,
    results: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the results go, as JSON lines.")
    ] = Path("conformance-past.jsonl"),
    as_json_: AsJson = False,
) -> None:
    """Save where something was saved before or a save was broken off, and tell what is loaded."""
    asked = _asked(globs or ["*"])
    found: list[Past] = []
    whole = _measure(asked, timeout, found)
    pasts = Pasts(observed_versions(), tuple(found))
    save(results, pasts)
    print(json.dumps(as_json(pasts), indent=1)) if as_json_ else text.show(out, shown(pasts))
    state = "results" if whole else "partial results"
    text.show(err if as_json_ else out, text.line(f"\n{state}: {results}"))
    raise typer.Exit(ExitCode.AS_EXPECTED if whole else ExitCode.INCONCLUSIVE)


def _asked(globs: list[str]) -> list[Scene]:
    known = list(scenes())
    found = [each for each in known if any(fnmatchcase(each.id, glob) for glob in globs)]
    if not found:
        raise UsageError(f"no past is called {' or '.join(globs)}; one is {known[0].id}")
    return found


def _measure(asked: list[Scene], timeout: float, found: list[Past]) -> bool:
    """Add what each reading gave; True when nothing is missing."""
    terminal = out if out.is_terminal else err
    done: set[str] = set()
    try:
        with closing(run(asked, timeout)) as results, text.progress(terminal) as bar:
            task = bar.add_task("pasts", total=len(asked))
            for each in results:
                found.append(each)
                if each.scene not in done:
                    done.add(each.scene)
                    bar.advance(task)
                    if not terminal.is_terminal and len(done) % max(1, len(asked) // 20) == 0:
                        err.print(f"{len(done)} of {len(asked)} pasts")
    except KeyboardInterrupt:
        return False
    except HarnessError as error:
        text.show(err, text.line(f"conformance: {error}", "red"))
        return False
    return True
