"""The pages of the documentation site that are made: one a check, a scheme and a format."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from conformance.axes import registry
from conformance.axes.base import Format, Needs, Scheme
from conformance.case import all_cases, default_routes
from conformance.judging.judge import Judgement
from conformance.judging.results import Results
from conformance.judging.summary import CauseGroup, causes_worst_first
from conformance.report.catalogue import defects
from conformance.report.check_pages import check_text
from conformance.report.github import code, plain, table
from conformance.report.support import BEHIND, Support, spelt
from conformance.report.text import shortened
from conformance.roundtrip.checks import all_checks
from conformance.roundtrip.outcome import NoResultKind
from conformance.session import axes_of

CASES_SHOWN = 4


def pages(results: Results) -> dict[str, str]:
    """Return every page that is made, by its path in the site."""
    support = Support.of(results)
    made = {
        f"checks/{each.name}.md": _titled(each.name, *check_text(each)) for each in all_checks()
    }
    made["schemes/index.md"] = _index(
        "Schemes", ("scheme", "what it is", ""), _scheme_rows(support)
    )
    made["formats/index.md"] = _index("Formats", ("format", "what it is"), _format_rows())
    for scheme in registry.schemes().values():
        made[f"schemes/{scheme.name}.md"] = scheme_page(scheme, support)
    for form in registry.formats().values():
        made[f"formats/{form.name}.md"] = format_page(form, support)
    return made


def _titled(title: str, *paragraphs: str) -> str:
    return "\n\n".join((f"# {title}", *paragraphs)) + "\n"


def _index(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return _titled(title, "\n".join(table(head, rows)))


def _scheme_rows(support: Support) -> Iterator[tuple[str, str, str]]:
    for name, scheme in registry.schemes().items():
        measured = "measured" if support.measured(name) else "not measured"
        yield f"[{name}]({name}.md)", plain(scheme.title), measured


def _format_rows() -> Iterator[tuple[str, str]]:
    for name, form in registry.formats().items():
        yield f"[{name}]({name}.md)", form.title


def scheme_page(scheme: Scheme, support: Support) -> str:
    """Return what a scheme is, what it needs, and what was measured of it."""
    return _titled(
        scheme.name,
        f"{plain(scheme.title)}.",
        _list(_facts(scheme)),
        "## What comes back",
        *_measured(scheme, support),
    )


def _facts(scheme: Scheme) -> Iterator[str]:
    given = [names for each in scheme.recipes for names in each.tensors.values()]
    tensors = sorted({name for names in given for name in names})
    yield f"Asked of torchao as {', '.join(code(each.symbol) for each in scheme.recipes)}"
    yield f"Gives {', '.join(map(code, tensors))}"
    yield f"Quantizing needs {_needs(scheme.quantizing)}"
    yield f"A forward pass needs {_needs(scheme.kernel)}"
    for name, divisor in (("in_features", scheme.multiple), ("out_features", scheme.rows)):
        if divisor > 1:
            yield f"`{name}` must be a multiple of {divisor}, or a layer is left as it is"
    if scheme.sqnr is not None:
        yield f"SQNR of the output: {scheme.sqnr:g} dB or more"
    yield f"Bytes on disk: at most {scheme.reduction:g} of bf16, on models that are not tiny"


def _needs(needs: Needs) -> str:
    words = [" or ".join(each.upper() for each in needs.devices)]
    if needs.capability:
        words.append(f"compute capability {'.'.join(map(str, needs.capability))}")
    words += [f"the package {each}" for each in needs.packages]
    return ", ".join([*words, *(["a kernel that torchao is asked for"] if needs.probe else [])])


def _measured(scheme: Scheme, support: Support) -> Iterator[str]:
    if not support.measured(scheme.name):
        yield "Not measured: " + (_listed(support.reasons(scheme.name)) or "no case was run.")
        return
    routes = default_routes()
    rows = (
        (
            f"[{form}](../formats/{form}.md)",
            *(spelt(support.letter(scheme.name, route, form)) for route in routes),
        )
        for form in support.formats()
    )
    yield "\n".join(table(("format", *map(code, routes)), rows))
    yield f"In the table, {BEHIND}."
    yield from _causes(support.results, "scheme", scheme.name)


def _listed(reasons: Iterable[str]) -> str:
    return "; ".join(code(shortened(each)) for each in reasons)


def format_page(form: Format, support: Support) -> str:
    """Return what a format is, and what was measured of it."""
    facts = {
        "Sharded": form.sharded,
        "Inner tensors of one weight may lie in two shards": form.splits_weights,
        "Writes `config.json`": form.has_config,
        "Keeps `requires_grad`": form.has_requires_grad,
    }
    return _titled(
        form.name,
        f"{form.title}.",
        _list(f"{fact}: {'yes' if holds else 'no'}" for fact, holds in facts.items()),
        "## What comes back",
        *_measured_format(form, support),
    )


def _measured_format(form: Format, support: Support) -> Iterator[str]:
    if form.name not in support.formats():
        yield "Not measured: no case of the default run has it, or none of them ran."
        return
    routes = default_routes()
    rows = (
        (
            f"[{support.named(name)}](../schemes/{name}.md)",
            *(spelt(support.letter(name, route, form.name)) for route in routes),
        )
        for name in registry.schemes()
        if support.measured(name)
    )
    yield "\n".join(table(("scheme", *map(code, routes)), rows))
    yield f"In the table, {BEHIND}."
    yield from _causes(support.results, "format", form.name)


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {each}" for each in lines)


def _causes(results: Results, axis: str, value: str) -> Iterator[str]:
    """Say of the cases with this value why they do not pass, worst first."""
    axes = axes_of(all_cases()[name] for name in results.cases)
    judged = [
        each.judgement
        for name, each in results.cases.items()
        if axes[name][axis] == value and each.judgement.no_result is not NoResultKind.SKIPPED
    ]
    groups = causes_worst_first(judged, axes)
    if groups:
        yield "## Why not more"
    by_case = {each.case: each for each in judged}
    for group in groups:
        yield from _cause(group, by_case)


def _cause(group: CauseGroup, judged: Mapping[str, Judgement]) -> Iterator[str]:
    count = "1 case" if len(group.cases) == 1 else f"{len(group.cases)} cases"
    shared = f"; all {', '.join(map(code, group.shared.values()))}" if group.shared else ""
    names = dict.fromkeys(name for case in group.cases for name in judged[case].covered_by)
    known = ", ".join(map(_defect, names))
    yield f"**{code(shortened(str(group.cause)))}**"
    yield f"{count}{shared}. " + (f"Known: {known}." if known else "Not declared.")
    more = len(group.cases) - CASES_SHOWN
    lines = [code(each) for each in group.cases[:CASES_SHOWN]]
    yield _list([*lines, *([f"and {more} more"] if more > 0 else [])])


def _defect(expectation: str) -> str:
    for defect in defects():
        if any(part.expectation.name == expectation for part in defect.parts):
            return f"[{expectation}](../defects.md#{anchor(defect.name)})"
    return code(expectation)


def anchor(heading: str) -> str:
    """Return the fragment of a heading, as GitHub and Markdown name it."""
    kept = (each for each in heading.lower() if each.isalnum() or each in "-_ ")
    return "".join(kept).replace(" ", "-")


SOURCES: Mapping[str, str] = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "ci/README.md": "ci.md",
}
"""Documents that lie elsewhere than in docs/, and their pages."""


def place(target: str) -> str | None:
    """Return what a file of the checkout is called in the site; None when it is not there."""
    if target in SOURCES:
        return SOURCES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else None


def relative(page: str, target: str) -> str:
    """Return how a page of the site links to another: `../checks.md`."""
    up = len(PurePosixPath(page).parts) - 1
    return "../" * up + target
