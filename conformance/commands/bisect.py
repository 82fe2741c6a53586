"""`conformance bisect`."""

import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from conformance.case import Case, find
from conformance.commands.complete import CaseId, environments
from conformance.commands.options import AsJson, EnvironmentsFile
from conformance.errors import UsageError
from conformance.judging.results import Result
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.roundtrip.engine import TIMEOUT
from conformance.versions.bisect import Answer, EndError, Found, bisect
from conformance.versions.environments import Environment, Environments, load_environments
from conformance.versions.environments import find as find_environment
from conformance.versions.hold import held
from conformance.versions.make import Tools, ready, tools
from conformance.versions.probe import (
    CHECKPOINTS,
    Probe,
    Prober,
    ReadingProber,
    Step,
    answer,
    base_of,
    listed_steps,
    released_steps,
)
from conformance.versions.ready import NotReady
from conformance.versions.runs import ending_like_ctrl_c
from conformance.versions.uv import UvError

EPILOG = """Examples:

[bold]conformance bisect flux-tiny.int8wo.quantize_.pickle.cpu --package torchao \
--good 0.16.0 --bad 0.18.0[/]

[bold]conformance bisect CASE --package diffusers --good 0.38.0 --bad 0.42.1 --env torchao0.17.0[/]

[bold]conformance bisect CASE --over torchao0.16.0 --over torchao0.17.0 --over torchao0.18.0[/]

[bold]conformance bisect CASE --env torchao0.18.0 --over torchao==0.17.0 \
--over ./torchao-0.18.0.dev1-py3-none-any.whl[/]

[bold]conformance bisect CASE --writer torchao0.15.0 --package torchao --good 0.15.0 \
--bad 0.18.0[/]  (which reader is the first that cannot read it)

A version is bad when it would block an upgrade from the good one: a worse verdict, a hang, a \
crash. One where the case cannot be measured is skipped.

Exit codes: 0 found, 2 usage, 3 inconclusive."""
JSON_VERSION = 1

err = text.console(stderr=True)


def command(
    case_id: CaseId,
    package: Annotated[str, typer.Option(metavar="NAME", help="What is moved.")] = "",
    good: Annotated[str, typer.Option(metavar="VERSION", help="Where it was good.")] = "",
    bad: Annotated[str, typer.Option(metavar="VERSION", help="Where it is bad.")] = "",
    env: Annotated[
        str,
        typer.Option(
            metavar="ENV",
            help="In which the package is moved; see `envs list`.",
            autocompletion=environments,
        ),
    ] = "",
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENV",
            help="Any list, in order, good to bad; repeatable.",
            autocompletion=environments,
        ),
    ] = None,
    writer: Annotated[
        str,
        typer.Option(
            metavar="ENV",
            help="Writes the checkpoint that the versions only read.",
            autocompletion=environments,
        ),
    ] = "",
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where results and logs go.")] = (
        Path("conformance-bisect")
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what an earlier bisect probed there.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Longest time for the case or for a reading."),
    ] = TIMEOUT,
    file: EnvironmentsFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the first version in which a case is worse than it was."""
    case = find(case_id)
    known = load_environments(file)
    base = find_environment(env, known) if env else None
    using = tools(lambda note: err.print(note, highlight=False))
    try:
        steps = _steps((package, good, bad), over, base, known, using)
    except UvError as error:
        raise _inconclusive(f"the index cannot be read: {error}", as_json=as_json) from None
    with held(results) as hold, ending_like_ctrl_c():
        if not resume:
            _forget(results)
        try:
            prober = _prober(case, results, using, hold, writer and find_environment(writer, known))
            prober.timeout = timeout
            _tell(case, prober, _found(prober, steps), as_json=as_json)
        except _NoAnswerError as error:
            raise _inconclusive(str(error), as_json=as_json) from None
        except KeyboardInterrupt:
            again = "broken off; the same command with --resume keeps what was probed"
            raise _inconclusive(again, as_json=as_json) from None


def _prober(
    case: Case, results: Path, using: Tools, hold: int, writer: Environment | str
) -> Prober:
    """Return what probes round trips or, with a writer, readings of what that one wrote."""
    if isinstance(writer, str):
        return Prober(case.id, results, using, (hold,))
    prepared = ready(writer, using)
    if isinstance(prepared, NotReady):
        raise _NoAnswerError(prepared.reason)
    return ReadingProber(case.id, results, using, (hold,), writer=prepared)


class _NoAnswerError(Exception):
    """The search cannot begin. The message says why."""


def _steps(
    moved: tuple[str, str, str],
    over: Sequence[str] | None,
    base: Environment | None,
    known: Environments,
    using: Tools,
) -> list[Step]:
    if over and not any(moved):
        return listed_steps(over, base, known)
    if over or not all(moved):
        raise UsageError("give --package, --good and --bad, or --over for each of a list")
    package, good, bad = moved
    return released_steps(base or base_of(package, bad, known), package, good, bad, using.uv)


def _forget(directory: Path) -> None:
    for suffix in ("jsonl", "log"):
        for path in directory.glob(f"*.{suffix}"):
            path.unlink()
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)


def _found(prober: Prober, steps: Sequence[Step]) -> Found[Step]:
    """Probe the good end, against which everything is measured, and search."""
    names = f"{len(steps)} from {steps[0].title} to {steps[-1].title}"
    text.show(err, text.line(f"{prober.case} over {names}"))
    good = _probed(prober, steps[0])
    if good.result is None or good.result.judgement.verdict is None:
        raise _NoAnswerError(f"no result at the good end, {good.step.title}: {good.ended}")
    reference = good.result

    def said(step: Step) -> Answer:
        probe = _probed(prober, step)
        return _told(probe, answer(reference, probe.result))

    try:
        return bisect(steps, said)
    except EndError as error:
        raise _wrong_ends(good, reference, prober.probe(steps[-1]), error.last) from None


def _probed(prober: Prober, step: Step) -> Probe:
    with err.status(f"probing {step.title}"):
        return prober.probe(step)


def _told(probe: Probe, said: Answer) -> Answer:
    words = f"{probe.step.title}: {said} ({probe.ended}; {probe.seconds:.1f} s)"
    text.show(err, text.line(words))
    return said


def _wrong_ends(good: Probe, reference: Result, bad: Probe, said: Answer) -> Exception:
    """Say why the search cannot begin: the good end measures itself, so it is the bad one."""
    titles = good.step.title, bad.step.title
    if said is Answer.SKIPPED or bad.result is None:
        return _NoAnswerError(f"no result at the bad end, {titles[1]}: {bad.ended}")
    if answer(bad.result, reference) is Answer.BAD:
        return UsageError(
            f"{titles[1]} is better than {titles[0]}: are the good and the bad end swapped? "
            f"({good.ended}, and then {bad.ended})"
        )
    return UsageError(
        f"{titles[1]} is not bad against {titles[0]}: it ended as {bad.ended}; "
        "give ends that differ"
    )


def _inconclusive(reason: str, *, as_json: bool) -> typer.Exit:
    if as_json:
        print(json.dumps({"schema": JSON_VERSION, "first_bad": None, "headline": reason}, indent=1))
    text.show(err, text.line(f"Inconclusive: {reason}", "bold yellow"))
    return typer.Exit(ExitCode.INCONCLUSIVE)


def _tell(case: Case, prober: Prober, found: Found[Step], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_json(case, prober, found), indent=1))
        return
    parts: list[RenderableType] = [text.line(_headline(case, found), "bold red"), text.line("")]
    if (after := prober.probe(found.first_bad).result) is not None:
        parts += [text.case_facts(after.outcome, after.judgement), text.line("")]
    parts.append(text.line(f"next: {next_command(case, found, prober)}"))
    text.show(text.console(), Group(*parts))


def _headline(case: Case, found: Found[Step]) -> str:
    good, bad = found.last_good.title, found.first_bad.title
    if not found.between:
        return f"{bad} is the first bad one for {case.id}; {good} is good"
    names = ", ".join(each.title for each in found.between)
    return (
        f"{bad} is bad for {case.id} and {good} is good; between them nothing can be said of "
        f"{names}"
    )


def next_command(case: Case, found: Found[Step], prober: Prober) -> str:
    """Return the command that shows what else the first bad version breaks for the scheme."""
    ends = (_named(each.environment) for each in (found.last_good, found.first_bad))
    baseline, candidate = map(shlex.quote, ends)
    glob = shlex.quote(f"{case.subject.name}.{case.scheme.name}.*.{case.device}")
    if isinstance(prober, ReadingProber):
        writer = shlex.quote(_named(prober.writer.environment))
        return f"conformance exchange -w {writer} -r {baseline} -r {candidate} -s {glob}"
    return f"conformance gate --baseline {baseline} --candidate {candidate} --select {glob}"


def _named(environment: Environment) -> str:
    return " ".join(environment.requirements)


def _json(case: Case, prober: Prober, found: Found[Step]) -> dict[str, Any]:
    return {
        "schema": JSON_VERSION,
        "case": case.id,
        "first_bad": found.first_bad.title,
        "last_good": found.last_good.title,
        "skipped_between": [each.title for each in found.between],
        "headline": _headline(case, found),
        "next": next_command(case, found, prober),
        "probes": [_probe(each) for each in prober.done.values()],
    }


def _probe(found: Probe) -> dict[str, Any]:
    judgement = found.result.judgement if found.result else None
    return {
        "step": found.step.title,
        "requirements": found.step.environment.requirements,
        "verdict": judgement.verdict if judgement else None,
        "cause": asdict(judgement.cause) if judgement and judgement.cause else None,
        "lacks": found.lacks,
        "seconds": round(found.seconds, 3),
    }
