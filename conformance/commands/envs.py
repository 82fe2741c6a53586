"""`conformance envs`."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import Timeout
from rich.markup import escape
from rich.text import Text

from conformance.commands.complete import environments
from conformance.commands.options import AsJson, EnvironmentsFile
from conformance.errors import UsageError
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.versions.cache import remove
from conformance.versions.environments import (
    Environment,
    Environments,
    find,
    load_environments,
    wanted,
)
from conformance.versions.lock import known_lock, resolve
from conformance.versions.make import Tools, made, ready_all, tools
from conformance.versions.ready import NotReady, Ready
from conformance.versions.refresh import FOLLOWED, newer, newest_pins, proposals, proposed_diff
from conformance.versions.shipped import shipped
from conformance.versions.uv import UvError, find_uv

app = typer.Typer(
    help="Virtual environments for several versions, made once and kept.", no_args_is_help=True
)
out = text.console()
err = text.console(stderr=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ENV...",
        help="Names, or requirements: 'torchao==0.17.0 diffusers==0.42.1'.",
        autocompletion=environments,
    ),
]
SHOWN = 0.05
"""Seconds from which a step is told."""


def picked(names: Sequence[str] | None, known: Environments) -> list[Environment]:
    """Return the environments that were named; without names all but the heavy ones.

    Raises:
        UsageError: one of them is not known.
    """
    if names:
        return [find(name, known) for name in names]
    return [each for each in known.named.values() if not each.heavy]


@app.command(
    name="list",
    epilog="""Examples:

[bold]conformance envs list[/]

[bold]conformance envs list torchao0.18.0 --json[/]""",
)
def list_environments(
    names: Names = None, file: EnvironmentsFile = None, as_json: AsJson = False
) -> None:
    """List environments and what is made of them; nothing is looked up."""
    known = load_environments(file)
    chosen = picked(names, known) if names else list(known.named.values())
    using = tools()
    states = [(each, made(each, using)) for each in chosen]
    if as_json:
        print(json.dumps([_listed(*each) for each in states], indent=1))
        return
    table = text.folding_table("environment", "state", "requirements", "what it is")
    for each, there in states:
        state = "made" if there else "heavy, not made" if each.heavy else "not made"
        table.add_row(*map(escape, (each.name, state, " ".join(each.requirements), each.title)))
    text.show(out, table)
    err.print(f"the cache is {using.cache.root}", highlight=False, soft_wrap=True)


def _listed(environment: Environment, there: Ready | None) -> dict[str, Any]:
    return {
        "name": environment.name,
        "title": environment.title,
        "requirements": environment.requirements,
        "heavy": environment.heavy,
        "made": there is not None,
        "python": str(there.python) if there else "",
        "versions": there.versions if there else {},
    }


@app.command(
    epilog="""Examples:

[bold]conformance envs make[/]  (all but the heavy ones)

[bold]conformance envs make torchao0.17.0 torchao0.7.0[/]

[bold]conformance envs make 'torchao==0.17.0 diffusers==0.42.1'[/]

[bold]conformance envs make './torchao-0.19.0-py3-none-any.whl diffusers==0.42.1'[/]

Exit codes: 0 all are ready, 2 usage, 3 one or more are not ready."""
)
def make(
    names: Names = None,
    file: EnvironmentsFile = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="At once; 0 is one per core.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Make environments that are not in the cache, and tell what is in each."""
    chosen = picked(names, load_environments(file))
    answers: list[Ready | NotReady] = []
    with text.progress(err) as bar:
        tell = bar.console.print if err.is_terminal else err.print
        using = tools(lambda note: tell(note, highlight=False))
        task = bar.add_task("environments", total=len(chosen))
        for answer in ready_all(chosen, using, jobs):
            bar.advance(task)
            answers.append(answer)
            if not as_json:
                text.show(bar.console if out.is_terminal else out, _answer(answer))
    if as_json:
        print(json.dumps([_made(answer) for answer in answers], indent=1))
    lacking = any(isinstance(answer, NotReady) for answer in answers)
    raise typer.Exit(ExitCode.INCONCLUSIVE if lacking else ExitCode.AS_EXPECTED)


def _answer(answer: Ready | NotReady) -> Any:
    if isinstance(answer, NotReady):
        return text.line(f"no result: {answer.reason}", "red")
    versions = " ".join(f"{name} {answer.versions[name]}" for name in wanted(answer.environment))
    state = "cached" if answer.cached else "made"
    parts = [f"{name} {took:.1f} s" for name, took in answer.steps.items() if took > SHOWN]
    took = f"{answer.seconds:.1f} s" + (f" ({', '.join(parts)})" if parts else "")
    return text.line(f"{answer.environment.name}: {state} in {took}; {versions}")


def _made(answer: Ready | NotReady) -> dict[str, Any]:
    seconds = round(answer.seconds, 3)
    if isinstance(answer, NotReady):
        return {
            "name": answer.environment.name,
            "ready": False,
            "lacks": str(answer.lacks),
            "words": answer.words,
            "seconds": seconds,
        }
    return {
        "name": answer.environment.name,
        "ready": True,
        "cached": answer.cached,
        "seconds": seconds,
        "steps": {name: round(took, 3) for name, took in answer.steps.items()},
        "python": str(answer.python),
        "versions": answer.versions,
        "printed": answer.printed,
    }


@app.command(
    epilog="""Examples:

[bold]conformance envs lock[/]  (all but the heavy ones)

[bold]conformance envs lock torchao0.18.0[/]

Exit codes: 0 all are resolved, 2 usage, 3 one or more do not resolve."""
)
def lock(names: Names = None, file: EnvironmentsFile = None, as_json: AsJson = False) -> None:
    """Resolve environments anew, keep the locks, and print what changed in them."""
    chosen = picked(names, load_environments(file))
    using = tools()
    answers: list[dict[str, Any]] = []
    with text.progress(err) as bar:
        task = bar.add_task("locks", total=len(chosen))
        for each in chosen:
            answers.append(_relocked(each, using))
            if not as_json:
                text.show(bar.console if out.is_terminal else out, _locked(answers[-1]))
            bar.advance(task)
    if as_json:
        print(json.dumps(answers, indent=1))
    failed = any(each["error"] for each in answers)
    raise typer.Exit(ExitCode.INCONCLUSIVE if failed else ExitCode.AS_EXPECTED)


def _relocked(environment: Environment, using: Tools) -> dict[str, Any]:
    """Resolve one anew; `changed` is None when there was no lock before."""
    answer: dict[str, Any] = {
        "name": environment.name,
        "packages": [],
        "changed": None,
        "error": "",
    }
    before = known_lock(environment, using.cache, using.uv)
    try:
        after = resolve(environment, using.cache, using.uv)
    except UvError as error:
        return {**answer, "error": str(error)}
    answer["packages"] = after.text.splitlines()
    if before is not None:
        lines = difflib.ndiff(before.text.splitlines(), after.text.splitlines())
        answer["changed"] = [line for line in lines if line[0] in "+-"]
    return answer


def _locked(answer: dict[str, Any]) -> Text:
    if answer["error"]:
        return text.line(f"no result: {answer['name']} does not resolve: {answer['error']}", "red")
    count = f"{answer['name']}: {len(answer['packages'])} packages"
    changed = answer["changed"]
    if changed is None:
        return text.line(f"{count}, resolved for the first time")
    state = "changed" if changed else "unchanged"
    return text.line("\n  ".join([f"{count}, {state}", *changed]))


@app.command(
    epilog="""Examples:

[bold]conformance envs clean torchao0.7.0[/]

[bold]conformance envs clean[/]  (everything in the cache; other commands make it anew)"""
)
def clean(names: Names = None, file: EnvironmentsFile = None) -> None:
    """Remove environments, locks and wheels from the cache."""
    using = tools()
    if names:
        chosen = picked(names, load_environments(file))
        locks = [known_lock(each, using.cache, using.uv) for each in chosen]
        directories = [using.cache.environment(each.digest) for each in locks if each]
    else:
        directories = using.cache.environments()
    removed = sum([_removed(each, using) for each in directories if each.is_dir()])
    if not names:
        remove(using.cache.root / "locks")
        remove(using.cache.root / "suite")
    text.show(out, text.line(f"removed {removed} environments from {using.cache.root}"))


def _removed(directory: Path, using: Tools) -> bool:
    try:
        with using.cache.guard(directory.name, timeout=0):
            remove(directory)
    except Timeout:
        text.show(err, text.line(f"{directory} is being made; left as it is"))
        return False
    return True


@app.command(
    epilog="""Examples:

[bold]conformance envs refresh[/]

[bold]conformance envs refresh | git apply[/]

Exit codes: 0 proposed or nothing newer, 2 usage, 3 the index cannot be reached."""
)
def refresh(file: EnvironmentsFile = None) -> None:
    """Propose environments for newer releases in the index, as a diff; only this looks them up."""
    path = file or shipped("ci/environments.toml")
    named = load_environments(path).named
    pins = newest_pins(named.values())
    followed = [name for name in FOLLOWED if name in pins]
    if not followed:
        raise UsageError(
            f"{path.name} pins none of {', '.join(FOLLOWED)}; pin one of them, like torchao==0.18.0"
        )
    try:
        releases = {name: newer(name, pins[name], find_uv()) for name in followed}
    except UvError as error:
        text.show(err, text.line(f"conformance: the index cannot be read: {error}", "red"))
        raise typer.Exit(ExitCode.INCONCLUSIVE) from None
    shown = f"ci/{path.name}" if file is None else str(file)
    diff = proposed_diff(path.read_text(encoding="utf-8"), shown, proposals(named, releases))
    print(diff, end="")
    if not diff:
        err.print(f"nothing newer than {' '.join(f'{n} {pins[n]}' for n in followed)}")
