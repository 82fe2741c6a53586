"""The tables of docs/ahead.md: formats that export or compile, and how close their outputs are."""

from collections.abc import Iterable, Iterator, Mapping

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.case import Case, find
from conformance.judging.results import Result
from conformance.report.github import code, table
from conformance.report.support import LETTERS, NO_RESULT, Support

LEGEND = ", ".join(
    [*(f"`{letter}` {verdict}" for verdict, letter in LETTERS.items()), f"`{NO_RESULT}` no result"]
)


def formats_ahead(support: Support) -> list[Format]:
    """Return the formats of which the results have a case, in the order of the registry."""
    there = {find(name).format.name for name in support.results.cases}
    return [each for each in registry.formats().values() if each.name in there]


def what_they_are(support: Support) -> list[str]:
    """Return a table of the formats: name, how, and the checks that are not asked of it."""
    rows = ((code(f.name), f.title, _not_asked(f)) for f in formats_ahead(support))
    return table(("format", "how", "not asked"), rows)


def _not_asked(form: Format) -> str:
    reasons: dict[str, list[str]] = {}
    for check, reason in form.not_asked.items():
        reasons.setdefault(reason, []).append(code(check))
    return "; ".join(f"{', '.join(checks)} ({reason})" for reason, checks in reasons.items())


def what_came_back(support: Support) -> list[str]:
    """Return the table of subject and format by scheme."""
    cases = {find(name): result for name, result in support.results.cases.items()}
    schemes = [each for each in registry.schemes() if any(c.scheme.name == each for c in cases)]
    rows = dict.fromkeys((each.subject.name, each.format.name) for each in sorted_by_format(cases))
    legend = f"In a cell: {LEGEND}; behind it cosine and SQNR in dB to the eager output."
    lines = (
        (code(subject), code(form), *(_cell(cases, subject, form, name) for name in schemes))
        for subject, form in rows
    )
    return [legend, "", *table(("model", "format", *schemes), lines)]


def sorted_by_format(cases: Iterable[Case]) -> Iterator[Case]:
    """Yield the cases in the order of the formats."""
    order = list(registry.formats())
    yield from sorted(cases, key=lambda each: order.index(each.format.name))


def _cell(cases: Mapping[Case, Result], subject: str, form: str, scheme: str) -> str:
    for case, result in cases.items():
        if (case.subject.name, case.format.name, case.scheme.name) == (subject, form, scheme):
            verdict = result.judgement.verdict
            letter = code(NO_RESULT if verdict is None else LETTERS[verdict])
            return letter + _close(result.outcome.measures)
    return ""


def _close(measures: Mapping[str, float]) -> str:
    if "eager_sqnr_db" not in measures:
        return ""
    return f" {measures['eager_cosine']:.5f}, {measures['eager_sqnr_db']:.1f}"
