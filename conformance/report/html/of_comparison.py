"""The report of two runs side by side."""

from collections.abc import Iterator
from dataclasses import replace

from conformance.judging.comparison import LABELS, Comparison, Decision, Row
from conformance.judging.exchange import labels
from conformance.judging.results import Header, Result
from conformance.report.comparison import WORDS
from conformance.report.comparison import upgrade as step_of
from conformance.report.html.causes import cause_view, commands, exchange_commands, own_commands
from conformance.report.html.marks import ABSENT, ROUND_TRIP
from conformance.report.html.of_run import ended, place
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

TONES = {Decision.COMPATIBLE: "good", Decision.BLOCKED: "bad", Decision.INCONCLUSIVE: "warn"}
WRITTEN_BEFORE = "written before"
"""Stands over the columns of the checkpoints that the old versions wrote and both read."""


def of_comparison(comparison: Comparison, known: Known) -> Page:
    """Return the report of an upgrade; the axes are those of the comparison."""
    known = replace(known, axes=comparison.axes)
    before = Side("before", comparison.before.versions, comparison.before.hardware)
    after = Side("after", comparison.after.versions, comparison.after.hardware)
    return Page(
        kind="comparison",
        title=_upgrade(comparison),
        sentence=_sentence(comparison),
        notes=tuple(_notes(comparison)),
        marks=ROUND_TRIP,
        entries=tuple(_entry(row, comparison, known) for row in comparison.rows),
        causes=tuple(_causes(comparison, known, before, after)),
        sides=(before, after),
        columns=("subject", "route"),
        facts={
            "suite": comparison.after.suite,
            "before": comparison.before.started,
            "after": comparison.after.started,
        },
        expectations=known.expectations,
        floors=known.floors,
    )


def _sentence(comparison: Comparison) -> Sentence:
    opening, tone = _opening(comparison)
    parts = tuple(
        Part(WORDS.get(label, label), comparison.counts[label], f"change={label}")
        for label in LABELS
        if comparison.counts[label]
    )
    query = "alert=1" if any(row.blocks or row.flaky for row in comparison.rows) else ""
    return Sentence(opening, tone, parts, len(comparison.rows), query=query)


def _opening(comparison: Comparison) -> tuple[str, str]:
    """Say whether to upgrade; of two runs of the same versions, how many cases are flaky."""
    if not comparison.versions:
        count, total = len(comparison.differing), len(comparison.rows)
        found = f"{count or 'None'} of {total} cases {'is' if count < 2 else 'are'} flaky."
        inconclusive = comparison.steadiness is Decision.INCONCLUSIVE
        return f"{'Inconclusive. ' if inconclusive else ''}{found}", TONES[comparison.steadiness]
    step, decision = _upgrade(comparison), comparison.decision
    opening = {
        Decision.BLOCKED: f"Do not upgrade {step}.",
        Decision.COMPATIBLE: f"{step} is compatible.",
        Decision.INCONCLUSIVE: f"Inconclusive on {step}.",
    }[decision]
    return opening, TONES[decision]


def _upgrade(comparison: Comparison) -> str:
    return step_of(comparison).replace("->", "→")


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from (f"{_capital(each)}." for each in comparison.incomparable)
    yield from (f"{_capital(each)}." for each in comparison.missing)
    yield from (f"{_capital(each)}." for each in comparison.red_exceptions)
    if not comparison.versions:
        yield "No version differs between the two runs."
    if comparison.hardware:
        names = ", ".join(comparison.hardware)
        yield f"The two runs were not on one machine: {names} differ."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _entry(row: Row, comparison: Comparison, known: Known) -> Entry:
    axes = known.axes.get(row.case, {})
    place_of, column = place(row.case, known)
    if axes.get("kind") == "exchange":
        column = (f"{column[0]} · {WRITTEN_BEFORE}", column[1])
    attempts = (*_attempts("after", row.after), *_attempts("before", row.before))
    last = row.after[0] if row.after else row.before[0]
    no_result = last.outcome.no_result
    return Entry(
        id=row.case,
        row=place_of,
        column=column,
        now=ended(row.after[0].judgement) if row.after else ABSENT,
        was=ended(row.before[0].judgement) if row.before else ABSENT,
        label=row.label,
        alert="blocks the upgrade" if row.blocks else ("flaky" if row.flaky else ""),
        note="s" if last.outcome.storage_only and last.judgement.verdict else "",
        axes=axes,
        attempts=attempts,
        reason=no_result.reason if no_result else "",
        sides=(0, 1),
        commands=_commands(row.case, comparison.before, comparison.after, known),
    )


def _commands(row_id: str, before: Header, after: Header, known: Known) -> tuple[str, ...]:
    """What was written before and is read after is an exchange of its own."""
    case, wrote, _ = row_id.partition("@")
    if not wrote:
        ours = "scheme" in known.axes.get(case, {})
        return commands(case, known.results) if ours else own_commands(after.versions)
    reader = labels({"before": before.versions, "after": after.versions})["after"]
    cell = f"{row_id}>{reader}"
    return exchange_commands(cell, case, before.versions, after.versions, known.exchange)


def _attempts(title: str, results: tuple[Result, ...]) -> Iterator[Attempt]:
    for number, each in enumerate(results):
        again = f", attempt {number + 1}" if number else ""
        # What a run expected of its own versions is no matter between two of them.
        judgement = replace(each.judgement, as_expected=True, reasons=())
        yield Attempt(f"{title}{again}", ended(judgement), each.outcome, judgement)


def _causes(comparison: Comparison, known: Known, before: Side, after: Side) -> Iterator[CauseView]:
    """What breaks, what is lost, what is fixed, and what is broken otherwise; each worst first."""
    rows = comparison.rows
    fixed = [row for row in rows if row.label == "fixed"]
    otherwise = [row for row in rows if row.label in ("improved", "changed", "accepted", "flaky")]
    parts = (
        ("Breaks", comparison.broken, after),
        ("Lost", comparison.lost, after),
        ("Broken otherwise than before, or accepted", otherwise, after),
        ("Fixed", fixed, before),
    )
    for kind, found, side in parts:
        old = side is before
        groups = comparison.causes_before(found) if old else comparison.causes(found)
        sides = {row.case: row.before if old else row.after for row in found}
        results = {case: attempts[0] for case, attempts in sides.items() if attempts}
        for group in groups:
            again = _commands(group.cases[0], comparison.before, comparison.after, known)
            yield cause_view(group, results, known, side, kind, again)
