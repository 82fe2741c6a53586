"""The tables of docs/ahead.md: formats that export or compile, and how close their outputs are."""

from collections.abc import Mapping

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.case import find
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
    """Return the table of model and format by scheme."""
    order = list(registry.formats())
    cases = sorted(map(find, support.results.cases), key=lambda c: order.index(c.format.name))
    found = {
        (case.subject.name, case.format.name, case.scheme.name): support.results.cases[case.id]
        for case in cases
    }
    schemes = [name for name in registry.schemes() if any(key[2] == name for key in found)]
    rows = (
        (code(model), code(form), *(_cell(found.get((model, form, name))) for name in schemes))
        for model, form in dict.fromkeys(key[:2] for key in found)
    )
    legend = f"In a cell: {LEGEND}; behind it cosine and SQNR in dB to the eager output."
    return [legend, "", *table(("model", "format", *schemes), rows)]


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    verdict = result.judgement.verdict
    letter = code(NO_RESULT if verdict is None else LETTERS[verdict])
    return letter + _close(result.outcome.measures)


def _close(measures: Mapping[str, float]) -> str:
    if "eager_sqnr_db" not in measures:
        return ""
    return f" {measures['eager_cosine']:.5f}, {measures['eager_sqnr_db']:.1f}"
