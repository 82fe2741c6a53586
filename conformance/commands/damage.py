"""`conformance damage`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from conformance.case import require_inert, select
from conformance.commands.complete import Globs, environments
from conformance.commands.options import AsJson
from conformance.damage.bench import (
    CHECKPOINT,
    TIMEOUT,
    Target,
    Unwritten,
    lay,
    targets,
)
from conformance.damage.fate import Result
from conformance.damage.mutation import slug
from conformance.damage.results import Damage, Header, Writer, resumed
from conformance.damage.run import Job, default_cases, jobs, mutation_id, remaining, run
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.judging.begun import Begun, require_asked
from conformance.judging.exchange_results import now
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.damage import as_json, headline, shown
from conformance.roundtrip.ladder import HarnessError
from conformance.versions.damage import Absent, damaged_in, results_of
from conformance.versions.environments import find, load_environments
from conformance.versions.make import tools

EPILOG = """Examples:

[bold]conformance damage[/]  (every format, every mutation)

[bold]conformance damage --count 50 -n 2[/]  (a seeded sample: 50 a format, of every kind in turn)

[bold]conformance damage --select '*.pickle.cpu' --only 'payload-bit/*' --kept broken[/]

[bold]conformance damage -n 2 --resume[/]  (after Ctrl-C or a crash)

[bold]conformance damage --only 'executes/*' --env torchao0.17.0 --env torchao0.16.0[/]

Exit codes: 0 measured, 2 usage, 3 inconclusive (nothing was, or it was broken off)."""

Before = tuple[Begun, tuple[Result, ...]]
"""The lines that a run left that was broken off, and the results in them."""

out = text.console()
err = text.console(stderr=True)


def command(
    globs: Globs = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Mutations, as `kind/name`; repeatable."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="So many mutations a checkpoint; all by default."),
    ] = None,
    seed: Annotated[int, typer.Option(help="What is drawn follows from it.")] = 0,
    workers: Annotated[int, typer.Option("-n", min=1, help="Readers at work at once.")] = 1,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Longest time for one reading.")
    ] = TIMEOUT,
    results: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the results go, as JSON lines.")
    ] = Path("conformance-damage.jsonl"),
    kept: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Only write the damaged checkpoints there."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="ENV",
            help="Do it there, one after the other; repeatable.",
            autocompletion=environments,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the results of a run that was broken off.")
    ] = False,
    as_json_: AsJson = False,
) -> None:
    """Damage checkpoints, and tell what their loaders make of it."""
    if names:
        options = {"--select": globs, "--only": only, "--count": [count], "--seed": [seed]}
        raise typer.Exit(_elsewhere(names, options, results, resume=resume, as_json_=as_json_))
    cases = select(globs) if globs else default_cases()
    require_inert(cases)
    with text.busy(err, f"writing the checkpoints of {len(cases)} cases"):
        made = list(targets(cases))
    there = [each for each in made if isinstance(each, Target)]
    lacking = {each.case.id: each.reason for each in made if isinstance(each, Unwritten)}
    for case, reason in lacking.items():
        text.show(err, text.line(f"not damaged: {case}: {reason}"))
    asked = [job for each in there for job in jobs(each, count, seed, tuple(only or ()))]
    if not asked:
        raise UsageError("there is nothing to damage; see why above, or give other globs")
    if kept is not None:
        _keep(asked, kept)
        return
    header = Header(observed_versions(), seed, _planned(asked), now(), lacking)
    before = _before(results, header, asked) if resume else None
    damage = Damage(header, tuple(_measured(asked, workers, timeout, results, header, before)))
    print(json.dumps(as_json(damage), indent=1)) if as_json_ else text.show(out, shown(damage))
    go_on = "; the same command with --resume goes on"
    where = f"results: {results}" if damage.complete else f"partial results: {results}{go_on}"
    text.show(err if as_json_ else out, text.line(f"\n{where}"))
    raise typer.Exit(ExitCode.AS_EXPECTED if damage.complete else ExitCode.INCONCLUSIVE)


def _before(results: Path, header: Header, asked: Sequence[Job]) -> Before:
    """Return what a run that was broken off left, when this one asks for the same."""
    after, found = resumed(results, header)
    known = (mutation_id(job, each) for job in asked for each in job.mutations)
    require_asked(results, (each.id for each in found), known)
    return after, found


def _elsewhere(
    names: Sequence[str],
    options: Mapping[str, Any],
    results: Path,
    *,
    resume: bool,
    as_json_: bool,
) -> ExitCode:
    """Do the same in other environments, and tell what it came to in each."""
    arguments = [
        part
        for option, values in options.items()
        for value in values or ()
        if value is not None
        for part in (option, str(value))
    ]
    known, using = load_environments(None), tools(err.print)
    found: dict[str, Damage | Absent] = {}
    for environment in (find(each, known) for each in names):
        with text.busy(err, f"damaging checkpoints under {environment.name}"):
            place = results_of(results, environment)
            more = ["--resume"] if resume and place.exists() else []
            found[environment.name] = damaged_in(environment, using, [*arguments, *more], place)
        if not as_json_:
            told = found[environment.name]
            words = f"not run: {told.reason}" if isinstance(told, Absent) else headline(told)
            text.show(out, text.line(f"{environment.name}: {words}"))
    if as_json_:
        print(json.dumps({name: _as_json(each) for name, each in found.items()}, indent=1))
    whole = all(isinstance(each, Damage) and each.complete for each in found.values())
    return ExitCode.AS_EXPECTED if whole else ExitCode.INCONCLUSIVE


def _as_json(found: Damage | Absent) -> dict[str, Any]:
    return {"not run": found.reason} if isinstance(found, Absent) else as_json(found)


def _planned(asked: Sequence[Job]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in asked:
        case = each.target.case.id
        found[case] = found.get(case, 0) + len(each.mutations)
    return found


def _keep(asked: Sequence[Job], kept: Path) -> None:
    """Lay every damaged checkpoint into a directory of its own."""
    for job in asked:
        for each in job.mutations:
            place = kept / job.target.case.id / slug(each.id) / CHECKPOINT
            lay(each.apply(job.target.files), place)
            print(place)


def _measured(
    asked: Sequence[Job],
    workers: int,
    timeout: float,
    results: Path,
    header: Header,
    before: Before | None,
) -> Iterator[Result]:
    """Yield the results; Ctrl-C ends them early, and what was read is in the file."""
    total = sum(header.planned.values())
    terminal = out if out.is_terminal else err
    after, done = before or (None, ())
    yield from done
    found = run(remaining(list(asked), {each.id for each in done}), workers, timeout)
    writing = Writer(results, header, after)
    try:
        counting = text.counting(terminal, "mutations", total, len(done))
        with writing as writer, closing(found), counting as one_more:
            for each in found:
                writer.write(each)
                one_more()
                yield each
    except KeyboardInterrupt:
        return
    except HarnessError as error:
        text.show(err, text.line(f"conformance: {error}", "red"))
