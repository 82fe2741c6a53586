"""Causes with what foresees them, and the text of an issue about them."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from conformance.judging.defects import Defect
from conformance.judging.expectations import NONE_FOUND
from conformance.judging.explain import How, explain
from conformance.judging.results import Result
from conformance.judging.signature import Cause, cause_of
from conformance.judging.summary import CauseGroup
from conformance.judging.verdicts import breaks
from conformance.report.html.view import CauseView, Known, Side, shell_quoted
from conformance.report.repro.defect import is_scripted
from conformance.report.text import printable, rerun_command
from conformance.roundtrip.outcome import Finding, Outcome

CASES_NAMED = 12
DEFECTS_NAMED = 2
"""Entries of the catalogue that one cause names at most."""
DEFAULT_EXCHANGE = "conformance-exchange.jsonl"
MAIN = ("torchao", "diffusers", "torch")
"""What an environment is asked for."""
TRACEBACK_LINES = 40

Versions = Mapping[str, str]


def commands(case_id: str, results: str = "", *, scripted: bool = True) -> tuple[str, ...]:
    """Return what reproduces a case: a script without the suite, and the suite itself.

    Args:
        case_id: the case.
        results: the file that says what was measured; without it the script shows what is expected.
        scripted: can a script show it?
    """
    asked = f" --results {shell_quoted(results)}" if results else ""
    script = (f"conformance repro {shell_quoted(case_id)}{asked}",) if scripted else ()
    return (*script, rerun_command(case_id))


def own_commands(reader: Versions) -> tuple[str, ...]:
    """Return what tells more of somebody's own checkpoint: no script can stand for its files."""
    candidate = _requirements(reader)
    return (
        "conformance inspect PATH",
        f"conformance gate --checkpoint PATH --candidate {candidate}",
    )


def exchange_commands(
    cell_id: str, case_id: str, writer: Versions, reader: Versions, results: str
) -> tuple[str, ...]:
    """Return what reproduces a reading: scripts without the suite, and the exchange of it alone."""
    place = shell_quoted(results or DEFAULT_EXCHANGE)
    asked = f"-w {_requirements(writer)} -r {_requirements(reader)} -s {shell_quoted(case_id)}"
    return (
        f"conformance repro {shell_quoted(cell_id)} --results {place} -o repro",
        f"conformance exchange {asked} --results again.jsonl",
    )


def _requirements(versions: Versions) -> str:
    public = {name: version.partition("+")[0] for name, version in versions.items()}
    return shell_quoted(" ".join(f"{each}=={public[each]}" for each in MAIN if each in public))


def cause_view(
    group: CauseGroup,
    results: Mapping[str, Result],
    known: Known,
    side: Side,
    kind: str = "",
    again: tuple[str, ...] | None = None,
) -> CauseView:
    """Return a cause for people; `results` holds the result of every case of the group."""
    model = results[group.cases[0]]
    told = tuple(_foresee(group.cause, (results[case] for case in group.cases), known))
    scripted = is_scripted(model.outcome)
    usual = commands(group.cases[0], known.results, scripted=scripted)
    repro = usual if again is None else again
    entries = tuple(_defects(group, told, model.outcome, known))[:DEFECTS_NAMED]
    links = dict.fromkeys(
        [*_links(told, known), *(link for each in entries for link in each.issues)]
    )
    return CauseView(
        group=group,
        ending=str(group.cause.ending),
        expectations=told,
        defects=entries,
        issue=issue_text(group, model.outcome, side, links, repro),
        commands=repro,
        kind=kind,
    )


def _foresee(cause: Cause, results: Iterable[Result], known: Known) -> list[str]:
    """Name the expectations that are about this cause and not about what else was found."""
    names: dict[str, None] = {}
    for each in results:
        for name in each.judgement.covered_by:
            if name not in known.expectations or _is_about(cause, each.outcome, name, known):
                names[name] = None
    return list(names)


def _is_about(cause: Cause, outcome: Outcome, name: str, known: Known) -> bool:
    excuse = known.expectations[name].excuse
    events = [*breaks(outcome), *([outcome.no_result] if outcome.no_result else [])]
    return any(
        not excuse.differences(event) and cause_of(_alone(outcome, event)) == cause
        for event in events
    )


def _alone(outcome: Outcome, event: object) -> Outcome:
    """Return an outcome in which nothing else happened."""
    if isinstance(event, Finding):
        return Outcome(outcome.case, findings=(event,))
    if event is outcome.no_result:
        return Outcome(outcome.case, no_result=outcome.no_result)
    return Outcome(outcome.case, failure=outcome.failure)


def _defects(
    group: CauseGroup, told: Iterable[str], model: Outcome, known: Known
) -> Iterable[Defect]:
    """Find what the catalogue says: by the expectations, else by what was said or found."""
    names = set(told)
    named = [
        each for each in known.defects if names & {part.expectation.name for part in each.parts}
    ]
    if named or names:
        return named
    about = [each for each in known.defects if _may_be_of(each, group.cases)]
    answers = explain(_said(group.cause, model), about)
    sure = [each for each in answers if each.how >= How.FOUND]
    return [each.defect for each in sure if each.rank == sure[0].rank]


def _may_be_of(defect: Defect, cases: Iterable[str]) -> bool:
    """Is it about some of the cases? One that is found by a script may be about any."""
    bare = {each.partition("@")[0] for each in cases}
    globs = {glob.partition("@")[0] for part in defect.parts for glob in part.expectation.cases}
    return not globs or any(fnmatchcase(case, glob) for case in bare for glob in globs)


def _said(cause: Cause, model: Outcome) -> str:
    """Return the traceback of a failure, or the line of the finding that the cause is."""
    failure = model.failure
    if failure is not None and cause_of(_alone(model, failure)) == cause:
        return f"{failure.traceback}\n{failure.type}: {failure.message}"
    found = (each for each in model.findings if cause_of(_alone(model, each)) == cause)
    return next((each.what for each in found), str(cause))


def _links(names: Iterable[str], known: Known) -> list[str]:
    issues = (known.expectations[name].issue for name in names if name in known.expectations)
    return list(dict.fromkeys(each for each in issues if each and each != NONE_FOUND))


def issue_text(
    group: CauseGroup,
    model: Outcome,
    side: Side,
    links: Iterable[str],
    repro: Iterable[str],
) -> str:
    """Return Markdown for an issue tracker: what happens, where, and how to see it."""
    lines = [f"## {_one_line(str(group.cause))}", ""]
    shared = ", ".join(f"{axis} {value}" for axis, value in group.shared.items())
    count = "1 case" if len(group.cases) == 1 else f"{len(group.cases)} cases"
    lines += [f"{count}{f'; all of them {shared}' if shared else ''}:", ""]
    lines += [f"- {_code(case)}" for case in group.cases[:CASES_NAMED]]
    if len(group.cases) > CASES_NAMED:
        lines.append(f"- and {len(group.cases) - CASES_NAMED} more")
    lines += ["", "Reproduce:", "", *_fenced("\n".join(repro), "sh")]
    lines += _what_happened(model)
    lines += ["Environment:", "", *_fenced("\n".join(map(" ".join, side.versions.items())))]
    lines += [f"Related: {link}" for link in links]
    return printable("\n".join(lines).rstrip() + "\n")


def _what_happened(model: Outcome) -> list[str]:
    if model.failure is not None:
        trace = model.failure.traceback or f"{model.failure.type}: {model.failure.message}"
        last = "\n".join(trace.rstrip().splitlines()[-TRACEBACK_LINES:])
        return [f"In {_code(model.case)}:", "", *_fenced(last)]
    if model.no_result is not None:
        return [f"In {_code(model.case)}:", "", *_fenced(model.no_result.reason)]
    rows = [f"{each.check}: {each.path}: {each.what}" for each in model.findings[:CASES_NAMED]]
    wanted = [f"    wanted {each.wanted}, got {each.got}" for each in model.findings[:CASES_NAMED]]
    told = [line for pair in zip(rows, wanted, strict=True) for line in pair]
    return [f"In {_code(model.case)}:", "", *_fenced("\n".join(told))] if told else []


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    fence = _fence(text, 1)
    return f"{fence}{_one_line(text)}{fence}"


def _fenced(text: str, language: str = "") -> list[str]:
    fence = _fence(text, 3)
    return [f"{fence}{language}", text.rstrip("\n"), fence, ""]


def _fence(text: str, least: int) -> str:
    """Return backticks, more than any run of them inside."""
    return "`" * max(least, max(map(len, re.findall("`+", text)), default=0) + 1)
