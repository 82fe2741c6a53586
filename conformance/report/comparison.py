"""Two runs side by side, for a terminal, a CI log, or as JSON. Reads a comparison; runs nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.judging.compare import Change
from conformance.judging.comparison import (
    ACCEPTED,
    FLAKY,
    LABELS,
    Comparison,
    Decision,
    Row,
)
from conformance.judging.judge import Judgement
from conformance.judging.results import Header, Result
from conformance.report.text import causes_list, folding_table, line

JSON_VERSION = 1
"""Raised with every change after which an old reader would misread the JSON."""
ROWS_SHOWN = 12
NAMES_SHOWN = 3
MAIN = ("torchao", "diffusers", "torch")
"""The distributions that a headline names first."""
TOLD = (
    Change.FIXED,
    Change.IMPROVED,
    Change.CHANGED,
    Change.LOST,
    ACCEPTED,
    FLAKY,
    Change.ADDED,
    Change.UNKNOWN,
    Change.SAME,
)
"""The order in which a headline tells what is not broken; with what is, it is every label."""
WORDS = {str(Change.UNKNOWN): "measured on neither side"}
STYLES = {
    Decision.COMPATIBLE: "bold green",
    Decision.BLOCKED: "bold red",
    Decision.INCONCLUSIVE: "bold yellow",
}


def headline(comparison: Comparison) -> str:
    """Return one sentence: may we upgrade, and what the cases came to."""
    step, told = upgrade(comparison), "; ".join(_told(comparison))
    if comparison.decision is Decision.BLOCKED:
        return f"Do not upgrade {step}: {told}."
    if comparison.decision is Decision.COMPATIBLE:
        return f"{step} is compatible: {told}."
    why = "; ".join((*comparison.incomparable, *comparison.missing))
    return f"Inconclusive on {step}: {why}; {told}."


def self_check_headline(comparison: Comparison) -> str:
    """Return one sentence on a run against itself: how many cases are flaky."""
    versions = _first([f"{name} {comparison.after.versions[name]}" for name in _names(comparison)])
    count, total = len(comparison.differing), len(comparison.rows)
    verb = "is" if count < 2 else "are"
    found = f"{count or 'none'} of {_cases(total)} {verb} flaky"
    unmeasured = comparison.counts[Change.UNKNOWN]
    neither = [f"{unmeasured} measured on neither side"] if unmeasured else []
    same = f"{comparison.counts[Change.SAME]} same"
    why = (*comparison.incomparable, *comparison.missing)
    sentence = "; ".join((*why, found, *neither, same))
    inconclusive = comparison.steadiness is Decision.INCONCLUSIVE
    return f"{'Inconclusive on ' if inconclusive else ''}{versions} against itself: {sentence}."


def upgrade(comparison: Comparison) -> str:
    """Name the step: `torchao 0.17.0 -> 0.18.0`."""
    steps = [_step(name, pair) for name, pair in _main_first(comparison.versions).items()]
    main = list(_main_first(comparison.after.versions).items())[:1]
    return _first(steps or [_step(name, (version, version)) for name, version in main])


def _names(comparison: Comparison) -> list[str]:
    return list(_main_first(comparison.after.versions)) or ["nothing"]


def _main_first(versions: Mapping[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys((*(name for name in MAIN if name in versions), *versions))
    return {name: versions[name] for name in names}


def _first(parts: list[str]) -> str:
    more = len(parts) - NAMES_SHOWN
    return ", ".join(parts[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def _told(comparison: Comparison) -> Iterator[str]:
    """Every case once: what is broken, then the others by label."""
    counts, total = comparison.counts, _cases(len(comparison.rows))
    broken = counts[Change.REGRESSED] + counts[Change.WORSENED]
    causes = len(comparison.causes(comparison.broken))
    yield from comparison.red_exceptions
    if broken:
        subject = "1 cause breaks" if causes == 1 else f"{causes} causes break"
        yield f"{subject} {broken} of {total}"
    else:
        yield f"none of {total} breaks"
    yield from (f"{counts[each]} {WORDS.get(each, each)}" for each in TOLD if counts[each])


def report(comparison: Comparison) -> Group:
    """Return the whole answer: headline, versions, counts, causes worst first, rows."""
    style = STYLES[comparison.decision]
    parts: list[RenderableType] = [line(headline(comparison), style), *_surroundings(comparison)]
    parts += [] if comparison.versions else [line("no version differs", "yellow")]
    parts += [Text(), _counts(comparison)]
    parts += _caused("Breaks", comparison, comparison.broken)
    parts += _caused("Lost", comparison, comparison.lost)
    parts += _listed("Flaky: some attempts block and others do not", comparison.flaky)
    parts += _listed("Accepted", [row for row in comparison.rows if row.label == ACCEPTED])
    fixed = [row for row in comparison.rows if row.label == Change.FIXED]
    if fixed:
        parts += [Text(), line("Fixed", "bold"), *causes_list(comparison.causes_before(fixed))]
    others = (Change.IMPROVED, Change.CHANGED)
    still = tuple(row for row in comparison.rows if row.label in others)
    parts += _caused("Still broken, otherwise than before", comparison, still)
    return Group(*parts)


def self_check_report(comparison: Comparison) -> Group:
    """Return the answer on a run against itself, with every case that did not end alike."""
    first = line(self_check_headline(comparison), STYLES[comparison.steadiness])
    flaky = _listed("Flaky", comparison.differing)
    return Group(first, *_surroundings(comparison), *flaky)


def _surroundings(comparison: Comparison) -> Iterator[Text]:
    """Say what else differs between the runs than a reader of the headline knows."""
    if len(comparison.versions) > NAMES_SHOWN:
        yield line(f"versions: {_pairs(comparison.versions)}")
    if comparison.hardware:
        yield line(f"not one machine: {_pairs(comparison.hardware)}", "yellow")


def _pairs(pairs: Mapping[str, tuple[str | None, str | None]]) -> str:
    return "; ".join(_step(name, pair) for name, pair in pairs.items())


def _step(name: str, pair: tuple[str | None, str | None]) -> str:
    return f"{name} {pair[0] or 'none'} -> {pair[1] or 'none'}"


def _counts(comparison: Comparison) -> Table:
    table = folding_table("change", "cases")
    table.columns[1].justify = "right"
    for label in LABELS:
        count = comparison.counts[label]
        if count:
            blocks = label in tuple(Change) and Change(label).blocks
            table.add_row(Text(WORDS.get(label, label), "red" if blocks else ""), str(count))
    table.add_row("all", str(len(comparison.rows)))
    return table


def _caused(title: str, comparison: Comparison, rows: tuple[Row, ...]) -> Iterator[RenderableType]:
    """The causes of some rows worst first, then the rows that have no result to have a cause."""
    if not rows:
        return
    yield from (Text(), line(title, "bold"))
    yield from causes_list(comparison.causes(rows), skipped=True)
    yield from _table(rows)


def _listed(title: str, rows: Iterable[Row]) -> Iterator[RenderableType]:
    found = tuple(rows)
    if found:
        yield from (Text(), line(title, "bold"), *_table(found))


def _table(rows: tuple[Row, ...]) -> Iterator[RenderableType]:
    table = folding_table("case", "change", "before", "after", "by")
    for row in rows[:ROWS_SHOWN]:
        ends = (_endings(row.before), _endings(row.after))
        table.add_row(*map(Text, (row.case, str(row.change), *ends, row.accepted_by)))
    if not any(row.accepted_by for row in rows):
        table.columns.pop()
    yield from (Text(), table)
    if len(rows) > ROWS_SHOWN:
        yield line(f"... and {len(rows) - ROWS_SHOWN} more; `--json` lists them all")


def _endings(attempts: tuple[Result, ...]) -> str:
    """Name how each attempt ended, the first one first; once when all ended alike."""
    ends = [_ending(each) for each in attempts]
    if len(ends) > 1 and len(set(ends)) == 1:
        return f"{ends[0]} ({len(ends)} times)"
    return ", then ".join(ends) or "absent"


def _ending(result: Result) -> str:
    judgement = result.judgement
    ended = str(judgement.verdict or judgement.no_result)
    return f"{ended} (storage only)" if result.outcome.storage_only and judgement.verdict else ended


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything, JSON-ready."""
    return {
        "schema": JSON_VERSION,
        "decision": comparison.decision,
        "headline": headline(comparison),
        "self_check": None if comparison.versions else _self_check(comparison),
        "before": _side(comparison.before),
        "after": _side(comparison.after),
        "versions": comparison.versions,
        "hardware": comparison.hardware,
        "incomparable": comparison.incomparable,
        "missing": comparison.missing,
        "red_exceptions": comparison.red_exceptions,
        "counts": comparison.counts,
        "cases": len(comparison.rows),
        "causes": [asdict(each) for each in comparison.causes(comparison.broken)],
        "lost": [asdict(each) for each in comparison.causes(comparison.lost)],
        "rows": [_row(row) for row in comparison.rows],
    }


def _self_check(comparison: Comparison) -> dict[str, Any]:
    return {
        "decision": comparison.steadiness,
        "headline": self_check_headline(comparison),
        "flaky": [row.case for row in comparison.differing],
    }


def _side(header: Header) -> dict[str, Any]:
    return {
        "suite": header.suite,
        "started": header.started,
        "versions": dict(header.versions),
        "hardware": dict(header.hardware),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "id": row.case,
        "label": row.label,
        "change": row.change,
        "blocks": row.blocks,
        "accepted_by": row.accepted_by,
        "before": [_attempt(each.judgement) for each in row.before],
        "after": [_attempt(each.judgement) for each in row.after],
    }


def _attempt(judgement: Judgement) -> dict[str, Any]:
    cause = judgement.cause
    return {
        "verdict": judgement.verdict,
        "no_result": judgement.no_result,
        "cause": None if cause is None else asdict(cause),
    }
