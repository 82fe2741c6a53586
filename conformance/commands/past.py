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
from conformance.past.result import Past, Pasts, Writer, resumed
from conformance.past.run import TIMEOUT, run
from conformance.past.scenes import Scene, scenes
from conformance.report import text
from conformance.report.past import as_json, shown
from conformance.roundtrip.ladder import HarnessError

EPILOG = """Examples:

[bold]conformance past[/]

[bold]conformance past --select 'killed/*.safetensors' --results killed.jsonl[/]

[bold]conformance past --resume[/]  (after Ctrl-C or a crash)

Exit codes: 0 measured, 2 usage, 3 inconclusive (a scene could not be played, or Ctrl-C)."""

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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results of a run that was broken off.")
    ] = False,
    as_json_: AsJson = False,
) -> None:
    """Save where something was saved before or a save was broken off, and tell what is loaded."""
    asked = _asked(globs or ["*"])
    versions = observed_versions()
    after, before = resumed(results, versions, asked) if resume else (None, ())
    found = list(before)
    with Writer(results, versions, after) as writer:
        whole = _measure(asked, timeout, found, writer)
    pasts = Pasts(versions, tuple(found))
    print(json.dumps(as_json(pasts), indent=1)) if as_json_ else text.show(out, shown(pasts))
    go_on = "; the same command with --resume goes on"
    state = f"results: {results}" if whole else f"partial results: {results}{go_on}"
    text.show(err if as_json_ else out, text.line(f"\n{state}"))
    raise typer.Exit(ExitCode.AS_EXPECTED if whole else ExitCode.INCONCLUSIVE)


def _asked(globs: list[str]) -> list[Scene]:
    known = list(scenes())
    found = [each for each in known if any(fnmatchcase(each.id, glob) for glob in globs)]
    if not found:
        raise UsageError(f"no past is called {' or '.join(globs)}; one is {known[0].id}")
    return found


def _measure(asked: list[Scene], timeout: float, found: list[Past], writer: Writer) -> bool:
    """Write and add what each reading gave; True when nothing is missing."""
    terminal = out if out.is_terminal else err
    done = {each.scene for each in found}
    left = [scene for scene in asked if scene.id not in done]
    try:
        counting = text.counting(terminal, "pasts", len(asked), len(done))
        with closing(run(left, timeout)) as results, counting as one_more:
            for each in results:
                writer.write(each)
                found.append(each)
                if each.scene not in done:
                    done.add(each.scene)
                    one_more()
    except KeyboardInterrupt:
        return False
    except HarnessError as error:
        text.show(err, text.line(f"conformance: {error}", "red"))
        return False
    return True
