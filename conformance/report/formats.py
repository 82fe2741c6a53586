"""The tables of docs/formats.md: what extra formats are, and what came back by each of them."""

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.case import default_routes, find
from conformance.report.github import code, table
from conformance.report.support import LEGEND, Support


def measured_formats(support: Support) -> list[Format]:
    """Return the extra formats of which the results have a case, in the order of the registry."""
    there = {form for _, _, form in support.judged}
    return [each for each in registry.formats().values() if each.extra and each.name in there]


def what_they_are(support: Support) -> list[str]:
    """Return a table of the extra formats: name and how it saves and loads."""
    return table(("format", "how"), ((code(f.name), f.title) for f in measured_formats(support)))


def what_came_back(support: Support) -> list[str]:
    """Return the table of format by scheme; a cell has a letter for each route that differs."""
    schemes = [name for name in registry.schemes() if _any_of(support, name)]
    routes = " / ".join(f"`{name}`" for name in default_routes())
    rows = (
        (code(form.name), *(code(_cell(support, form, scheme)) for scheme in schemes))
        for form in measured_formats(support)
    )
    legend = f"In a cell: {routes}, or one letter where they came to the same. {LEGEND}."
    return [legend, "", *table(("format", *map(support.named, schemes)), rows)]


def _any_of(support: Support, scheme: str) -> bool:
    return any(key[0] == scheme for key in support.judged)


def _cell(support: Support, form: Format, scheme: str) -> str:
    letters = (support.letter(scheme, route, form.name) for route in default_routes())
    return " / ".join(dict.fromkeys(letters))


def without_result(support: Support) -> list[str]:
    """Return the reasons why cases have no result, with their formats."""
    reasons: dict[str, set[str]] = {}
    for name, result in support.results.cases.items():
        if (ended := result.outcome.no_result) is not None:
            reasons.setdefault(ended.reason.strip(), set()).add(find(name).format.name)
    rows = ((code(reason), ", ".join(sorted(forms))) for reason, forms in sorted(reasons.items()))
    return table(("why", "formats"), rows)
