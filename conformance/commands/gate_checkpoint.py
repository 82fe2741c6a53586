"""`conformance gate --checkpoint`: may we upgrade, for checkpoints of our own?"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from conformance.commands.compare import acceptances
from conformance.commands.making import made_ready
from conformance.commands.report import gate_report
from conformance.errors import UsageError
from conformance.judging.comparison import Comparison, Side, compare
from conformance.report import comparison as report
from conformance.report import text
from conformance.report.markdown import markdown
from conformance.report.own import Bar, judged, look
from conformance.roundtrip.checkpoint import Asked, whole
from conformance.versions.cache import write_whole
from conformance.versions.environments import find, load_environments
from conformance.versions.gate import ANSWER, SUMMARY, Sides, forget, forget_answer
from conformance.versions.gate_checkpoint import Checked, asked_of, axes, measured, retried
from conformance.versions.hold import held
from conformance.versions.own import absolute
from conformance.versions.parties import party_of
from conformance.versions.party import Party
from conformance.versions.ready import NotReady
from conformance.versions.runs import ending_like_ctrl_c


@dataclass(frozen=True)
class Wanted:
    """What the command was given."""

    checkpoints: Sequence[Path]
    baseline: str
    """Empty: the records that lie beside the checkpoints."""
    candidate: str
    model: str
    inputs: str
    results: Path
    accept: Path | None
    file: Path | None
    as_json: bool


class NotReadyError(Exception):
    """An environment cannot be used. The message says why."""


def gate_checkpoints(wanted: Wanted) -> None:
    """Run the gate, tell, and end with its exit code.

    Raises:
        UsageError: what was asked for cannot be.
        RunError, NotReadyError, KeyboardInterrupt: there is no answer.
    """
    if not wanted.candidate:
        raise UsageError("name the versions that you would have: --candidate ENV")
    known = load_environments(wanted.file)
    names = [name for name in (wanted.baseline, wanted.candidate) if name]
    environments = {name: find(name, known) for name in names}
    common = Asked(Path(), Path(), absolute(wanted.model), absolute(wanted.inputs))
    recorded = not wanted.baseline
    paths = [whole(path) for path in wanted.checkpoints]
    asked = asked_of(paths, common, wanted.results, recorded=recorded)
    with held(wanted.results), ending_like_ctrl_c():
        forget_answer(wanted.results)
        forget(wanted.results)
        started = time.monotonic()
        ready = made_ready(environments.values())
        members = {name: _party(name, ready[each]) for name, each in environments.items()}
        baseline, candidate = members.get(wanted.baseline), members[wanted.candidate]
        gate = Checked(asked, baseline, candidate, wanted.results, Bar)
        compared = partial(_compared, wanted.accept)
        sides = retried(gate, measured(gate), compared)
        _tell(wanted, paths, sides, compared(*sides), time.monotonic() - started)


def _party(name: str, ready: Any) -> Party:
    if isinstance(ready, NotReady):
        raise NotReadyError(ready.reason)
    return party_of(ready, name)


def _compared(accept: Path | None, before: Side, after: Side) -> Comparison:
    today = datetime.now(timezone.utc).date()
    accepted = acceptances(accept, (before.run, after.run))
    return compare(before, after, axes((before, after)), accepted, today)


def _tell(
    wanted: Wanted, paths: Sequence[Path], sides: Sides, found: Comparison, seconds: float
) -> None:
    files = {name: str(path) for name, path in _files(wanted.results)}
    whole = {**report.to_json(found), "files": files, "seconds": {"in all": round(seconds, 3)}}
    answer = json.dumps(whole, indent=1)
    if wanted.as_json:
        print(answer)
    else:
        last = [Text(), text.line(f"results: {', '.join(files.values())}")]
        shown = Group(report.report(found), *_details(sides, paths), *last)
        text.show(text.console(), shown)
    write_whole(wanted.results / ANSWER, f"{answer}\n".encode())
    write_whole(wanted.results / SUMMARY, markdown(found).encode())
    where = text.console(stderr=wanted.as_json)
    text.show(where, text.line(gate_report(found, wanted.results)))
    raise typer.Exit(found.decision.exit_code)


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    for name in ("baseline", "candidate", "retry"):
        if (path := directory / f"{name}.jsonl").is_file():
            yield name, path


def _details(sides: Sides, paths: Sequence[Path]) -> Iterator[RenderableType]:
    """Yield ladder, findings and what to do of every checkpoint that did not come back."""
    for result, path in zip(sides[1].run.cases.values(), paths, strict=True):
        judgement = judged(result.outcome)
        if judgement.cause is not None:
            yield from (Text(), text.case_facts(result.outcome, judgement))
            yield from look(result.outcome, path)
