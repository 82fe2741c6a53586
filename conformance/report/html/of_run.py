"""The report of a run."""

from collections.abc import Iterator, Mapping

from conformance.judging.judge import Judgement
from conformance.judging.results import Result, Results
from conformance.judging.summary import CauseGroup, ExitCode, causes_worst_first, exit_code
from conformance.judging.verdicts import Verdict
from conformance.report.html.causes import cause_view, commands
from conformance.report.html.marks import NOT_RUN, ROUND_TRIP
from conformance.report.html.view import (
    Attempt,
    CauseView,
    Entry,
    Known,
    Page,
    Part,
    Sentence,
    Side,
)
from conformance.report.repro.defect import is_scripted
from conformance.roundtrip.outcome import NoResultKind

OPENINGS = {
    ExitCode.AS_EXPECTED: ("Every case is as expected.", "good"),
    ExitCode.NOT_AS_EXPECTED: ("Not as expected.", "bad"),
    ExitCode.INCONCLUSIVE: ("Inconclusive.", "warn"),
}
NOT_AS_EXPECTED, DECLARED = "Not as expected", "As declared"


def of_run(results: Results, known: Known) -> Page:
    """Return the report of a results file."""
    header = results.header
    side = Side("environment", header.versions, header.hardware)
    return Page(
        kind="run",
        title=environment_title(header.versions),
        sentence=_sentence(results),
        notes=tuple(_notes(results)),
        marks=ROUND_TRIP,
        entries=tuple(_entry(each, known) for each in results.cases.values()),
        causes=_causes(results, known, side),
        sides=(side,),
        columns=("subject", "route"),
        facts=facts(results),
        expectations=known.expectations,
        floors=known.floors,
    )


def environment_title(versions: Mapping[str, str]) -> str:
    """Name an environment by what matters most in it."""
    named = [f"{name} {versions[name]}" for name in ("torchao", "diffusers") if name in versions]
    return ", ".join(named) or "unknown versions"


def facts(results: Results) -> dict[str, str]:
    """Return the small print of a run."""
    selection = results.header.selection
    asked = " ".join((*selection.globs, *(f"-m {each}" for each in selection.markers)))
    return {
        "suite": results.header.suite,
        "started": results.header.started,
        "finished": results.footer.finished,
        "selection": asked or "every tiny case on CPU",
        **({"shard": str(selection.shard)} if selection.shard else {}),
    }


def ended(judgement: Judgement) -> str:
    """Return how a case ended, as a key of the marks."""
    return str(judgement.verdict or judgement.no_result)


def place(case_id: str, known: Known) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the row and the column of a case; one that is not known has a row of its own."""
    axes = known.axes.get(case_id)
    if axes is None:
        return (case_id, ""), ("", "")
    device = axes.get("device", "cpu")
    route = axes.get("route", "")
    column = route if device == "cpu" else f"{route} {device}"
    return (axes.get("scheme", ""), axes.get("format", "")), (axes.get("subject", ""), column)


def _entry(result: Result, known: Known) -> Entry:
    judgement, outcome = result.judgement, result.outcome
    row, column = place(outcome.case, known)
    return Entry(
        id=outcome.case,
        row=row,
        column=column,
        now=ended(judgement),
        alert="" if judgement.as_expected else "not as expected",
        note="s" if outcome.storage_only and judgement.verdict else "",
        axes=known.axes.get(outcome.case, {}),
        attempts=(_attempt(result, known),),
        reason=outcome.no_result.reason if outcome.no_result else "",
        sides=(0,),
        commands=commands(outcome.case, known.results, scripted=is_scripted(outcome)),
    )


def _attempt(result: Result, known: Known) -> Attempt:
    drawn = known.pictures.get(result.outcome.case, ())
    return Attempt("", ended(result.judgement), result.outcome, result.judgement, drawn)


def _sentence(results: Results) -> Sentence:
    tally = results.tally
    complete = results.footer.complete
    opening, tone = OPENINGS[exit_code(tally, results.footer.unused, complete=complete)]
    counts = [*tally.verdicts.items(), *tally.no_results.items()]
    parts = [Part(str(name), count, f"status={name}") for name, count in counts if count]
    missing = results.header.planned - tally.cases
    if missing:
        parts.append(Part(NOT_RUN, missing))
    if tally.unexpected:
        opening = "1 case is" if tally.unexpected == 1 else f"{tally.unexpected} cases are"
        opening += " not as expected."
    query = "alert=1" if tally.unexpected else ""
    total = max(results.header.planned, tally.cases)
    return Sentence(opening, tone, tuple(parts), total, query=query)


def _notes(results: Results) -> Iterator[str]:
    broken = results.tally.measured - results.tally.verdicts[Verdict.PASS]
    if broken and not results.tally.unexpected:
        measured = results.tally.measured
        yield f"{broken} of {measured} measured cases do not pass, each as an expectation declares."
    if not results.tally.measured:
        yield "No case was measured: nothing can be said."
    if not results.footer.complete:
        yield "The run was broken off; `conformance run --resume` goes on."
    for name in results.footer.unused:
        yield f"The expectation {name} was put to no test: delete it or narrow it."


def _causes(results: Results, known: Known, side: Side) -> tuple[CauseView, ...]:
    """What is not as expected first, then what is declared; both worst first."""
    judged = [each.judgement for each in results.cases.values()]
    measured = [each.case for each in judged if each.verdict is not None]
    groups = causes_worst_first(judged, known.axes, measured or None)
    told = [each for each in groups if not _is_quiet(each)]
    told.sort(key=lambda group: not group.unexpected)
    return tuple(
        cause_view(
            group, results.cases, known, side, NOT_AS_EXPECTED if group.unexpected else DECLARED
        )
        for group in told
    )


def _is_quiet(group: CauseGroup) -> bool:
    """Is it only that this machine cannot do it? The matrix and its filters tell these."""
    return group.cause.ending is NoResultKind.SKIPPED and not group.unexpected
