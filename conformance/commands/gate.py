"""`conformance gate`."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

from conformance.case import all_cases
from conformance.commands.compare import acceptances
from conformance.commands.complete import Globs, Markers, environments
from conformance.commands.gate_checkpoint import NotReadyError, Wanted, gate_checkpoints
from conformance.commands.making import made_ready
from conformance.commands.options import AsJson, EnvironmentsFile
from conformance.commands.report import gate_report
from conformance.errors import UsageError
from conformance.judging.comparison import Comparison, Decision, Side, compare
from conformance.judging.summary import ExitCode
from conformance.report import comparison as report
from conformance.report import text
from conformance.report.gate import Watcher, ending, no_answer
from conformance.report.markdown import markdown
from conformance.roundtrip.engine import TIMEOUT
from conformance.selection import chosen
from conformance.session import axes_of
from conformance.versions.cache import write_whole
from conformance.versions.environments import Environment, find, load_environments
from conformance.versions.gate import (
    AGAIN,
    ANSWER,
    EXCHANGE,
    SUMMARY,
    Gate,
    Sides,
    forget,
    forget_answer,
    measured,
    retried,
)
from conformance.versions.gate_exchange import axes_with, exchanged, read_again
from conformance.versions.hold import held
from conformance.versions.ready import NotReady, Ready
from conformance.versions.runs import Asked, RunError, ending_like_ctrl_c

EPILOG = """Examples:

[bold]conformance gate --baseline torchao0.17.0 --candidate torchao0.18.0[/]

[bold]conformance gate --baseline torchao0.18.0 --candidate './torchao-0.19.0-py3-none-any.whl \
diffusers==0.42.1' --select 'flux-tiny.int8wo.*.cpu'[/]

[bold]conformance gate --baseline torchao0.17.0 --candidate torchao0.18.0 --accept reviewed.toml \
--results gate --resume[/]  (after Ctrl-C or a crash)

[bold]conformance gate --checkpoint ./my-flux-int8 --baseline torchao0.17.0 \
--candidate torchao0.18.0[/]  (or no baseline: the record that `conformance record` wrote counts)

[bold]conformance gate --baseline torchao0.18.0 --self-check[/]  (what is flaky)

Exit codes: 0 compatible, 1 blocked (or flaky), 2 usage, 3 inconclusive."""


def command(
    baseline: Annotated[
        str,
        typer.Option(
            metavar="ENV",
            help="What you have: a name, or 'torchao==0.17.0 ...'.",
            autocompletion=environments,
        ),
    ] = "",
    candidate: Annotated[
        str,
        typer.Option(
            metavar="ENV",
            help="What you would have; written like the baseline.",
            autocompletion=environments,
        ),
    ] = "",
    globs: Globs = None,
    markers: Markers = None,
    accept: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Reviewed exceptions, as TOML.")
    ] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where results and logs go.")] = Path(
        "conformance-gate"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a gate that was broken off there.")
    ] = False,
    self_check: Annotated[
        bool, typer.Option("--self-check", help="The baseline against itself: what is flaky?")
    ] = False,
    exchange: Annotated[
        bool,
        typer.Option(
            "--exchange/--no-exchange", help="The candidate reads what the baseline wrote, too."
        ),
    ] = True,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="PATH",
            help="Your own in place of cases; repeatable. Without a baseline, its record counts.",
        ),
    ] = None,
    model: Annotated[str, typer.Option("--class", metavar="NAME", help="As in `record`.")] = "",
    inputs: Annotated[str, typer.Option(metavar="MODULE:FUNCTION", help="As in `record`.")] = "",
    workers: Annotated[int, typer.Option("-n", min=1, help="Engines at work in each run.")] = 1,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Longest time for a case or for a reading."),
    ] = TIMEOUT,
    file: EnvironmentsFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the cases in two environments and compare: may we upgrade, and what would break?"""
    if checkpoints:
        own = Wanted(
            checkpoints, baseline, candidate, model, inputs, results, accept, file, as_json
        )
        _own(own, (globs, markers, resume, self_check))
        return
    if model or inputs:
        raise UsageError("--class and --inputs are for --checkpoint PATH; leave them out")
    known = load_environments(file)
    pair = [find(name, known) for name in _names(baseline, candidate, self_check=self_check)]
    chosen(globs or (), markers or ())
    acceptances(accept, ())
    asked = Asked(tuple(globs or ()), tuple(markers or ()), workers, timeout)
    with held(results) as hold, ending_like_ctrl_c():
        forget_answer(results)
        if not resume:
            forget(results)
        started = time.monotonic()
        try:
            ready = _both_ready(pair)
            with Watcher() as watcher:
                exchange = exchange and not self_check
                gate = Gate(*ready, asked, results, watcher, (hold,), exchange=exchange)
                gate.seconds["environments"] = time.monotonic() - started
                sides = _sides(gate, accept, self_check=self_check)
        except (RunError, NotReadyError, KeyboardInterrupt) as error:
            raise _inconclusive(error, as_json=as_json) from None
        gate.seconds["in all"] = time.monotonic() - started
        _tell(gate, _compared(gate, *sides, accept), as_json=as_json, self_check=self_check)


def _own(wanted: Wanted, others: Sequence[object]) -> None:
    if any(others):
        raise UsageError(
            "--checkpoint asks about your own checkpoints and no cases; "
            "leave --select, --marker, --resume and --self-check out"
        )
    try:
        gate_checkpoints(wanted)
    except (RunError, NotReadyError, KeyboardInterrupt) as error:
        # Its records and readings are made anew: there is nothing to resume.
        shown = NotReadyError(str(error) or "broken off; nothing is left half made")
        raise _inconclusive(shown, as_json=wanted.as_json) from None


def _names(baseline: str, candidate: str, *, self_check: bool) -> tuple[str, str]:
    if not baseline:
        raise UsageError("name the versions that you have: --baseline ENV")
    if not self_check and not candidate:
        raise UsageError("name the versions that you would have: --candidate ENV; or --self-check")
    if self_check and candidate not in ("", baseline):
        raise UsageError("--self-check runs the baseline twice; leave --candidate out")
    return baseline, candidate or baseline


def _both_ready(pair: Sequence[Environment]) -> tuple[Ready, Ready]:
    answers = made_ready(pair)
    baseline, candidate = (answers[each] for each in pair)
    if isinstance(baseline, NotReady) or isinstance(candidate, NotReady):
        lacking = [each.reason for each in answers.values() if isinstance(each, NotReady)]
        raise NotReadyError("; ".join(lacking))
    return baseline, candidate


def _sides(gate: Gate, accept: Path | None, *, self_check: bool) -> Sides:
    sides = measured(gate)
    if self_check:
        return sides
    if gate.exchange:
        with _timed(gate, EXCHANGE):
            sides = exchanged(gate, sides)
    sides = retried(gate, sides, lambda old, new: _compared(gate, old, new, accept))
    if not gate.exchange:
        return sides
    blocking = [row.case for row in _compared(gate, *sides, accept).rows if row.blocks]
    with _timed(gate, AGAIN):
        return read_again(gate, sides, blocking)


@contextmanager
def _timed(gate: Gate, name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    gate.seconds[name] = time.monotonic() - started


def _compared(gate: Gate, before: Side, after: Side, accept: Path | None) -> Comparison:
    today = datetime.now(timezone.utc).date()
    accepted = acceptances(accept, (before.run, after.run))
    axes = axes_with(gate, axes_of(all_cases().values()))
    return compare(before, after, axes, accepted, today)


def _tell(gate: Gate, found: Comparison, *, as_json: bool, self_check: bool) -> None:
    decision = found.steadiness if self_check else found.decision
    answer = json.dumps(_json(gate, found), indent=1)
    if as_json:
        print(answer)
    else:
        shown = report.self_check_report(found) if self_check else report.report(found)
        text.show(text.console(), Group(shown, *ending(found, gate.files, gate.seconds)))
    write_whole(gate.directory / ANSWER, f"{answer}\n".encode())
    write_whole(gate.directory / SUMMARY, markdown(found).encode())
    text.show(text.console(stderr=as_json), text.line(gate_report(found, gate.directory)))
    raise typer.Exit(decision.exit_code)


def _json(gate: Gate, found: Comparison) -> dict[str, Any]:
    seconds = {name: round(took, 3) for name, took in gate.seconds.items()}
    files = {name: str(path) for name, path in gate.files.items()}
    return {**report.to_json(found), "files": files, "seconds": seconds}


def _inconclusive(error: BaseException, *, as_json: bool) -> typer.Exit:
    reason = str(error) or "broken off"
    said = no_answer(reason, resumable=not isinstance(error, NotReadyError))
    if as_json:
        whole = {"schema": report.JSON_VERSION, "decision": Decision.INCONCLUSIVE}
        print(json.dumps({**whole, "headline": said}, indent=1))
    else:
        text.show(text.console(), text.line(said, "bold yellow"))
    return typer.Exit(ExitCode.INCONCLUSIVE)
