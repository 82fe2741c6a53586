"""The tables of README.md and of pages in docs/, made from committed results.

    python -m conformance.report.tables            # write the tables anew
    python -m conformance.report.tables RESULTS    # keep the results of a run, then the tables

A run of the default cases is kept beside one of extra formats (`conformance run -m extra`) and one
of those that compile ahead (`conformance run -m ahead`).

Only what stands between `<!-- NAME -->` and `<!-- /NAME -->` is written.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from conformance.axes import registry
from conformance.case import Case, default_routes, find
from conformance.errors import UsageError
from conformance.judging.packed import packed
from conformance.judging.results import Results, read_results
from conformance.judging.verdicts import Verdict
from conformance.report import ahead
from conformance.report.formats import what_came_back, what_they_are, without_result
from conformance.report.support import (
    BEHIND,
    LEGEND,
    Support,
    by_route,
    compact,
    not_measured,
    surroundings,
    verdict_table,
)

ROOT = Path(__file__).parents[2]
COMMITTED = Path("docs/results/default.jsonl.xz")
"""The default run: tiny models on CPU with the versions of `ci/constraints.txt`."""
EXTRA = Path("docs/results/formats.jsonl.xz")
"""A run of extra formats, on the same machine and versions."""
AHEAD = Path("docs/results/ahead.jsonl.xz")
"""A run of formats that export or compile, likewise."""
DOCUMENTS: Mapping[Path, Path] = {
    Path("README.md"): COMMITTED,
    Path("docs/support.md"): COMMITTED,
    Path("docs/formats.md"): EXTRA,
    Path("docs/ahead.md"): AHEAD,
}
"""Document -> the results that its tables are made from."""
REGION = re.compile(
    r"<!-- (?P<name>(support|formats|ahead)-[\w-]+) -->.*?<!-- /(?P=name) -->", re.DOTALL
)

WORDS: Mapping[Verdict, str] = {
    Verdict.CORRUPT: "loads, silently, to something else",
    Verdict.LOAD_FAILED: "was saved and cannot be loaded",
    Verdict.SAVE_FAILED: "an unclear error, or files left behind",
    Verdict.QUANTIZE_FAILED: "raised before anything was saved",
    Verdict.ALTERED: "weights and outputs equal, something else not",
    Verdict.REFUSED: "a clear refusal, nothing left behind",
    Verdict.PASS: "what came back is what was saved",
}


def _counts(support: Support) -> list[str]:
    return [surroundings(support.results), "", *verdict_table(support.results, WORDS)]


def _compact(support: Support) -> list[str]:
    routes = " / ".join(f"`{name}`" for name in default_routes())
    missing = sum(1 for scheme in registry.schemes() if not support.measured(scheme))
    forms = sum(each.usual and not each.whole for each in registry.formats().values())
    told = (
        f"{missing} of {len(registry.schemes())} schemes and {forms - len(support.formats())} "
        f"of {forms} formats were not measured."
    )
    legend = f"In a cell: {routes}, or one word where they came to the same; {BEHIND}."
    return [*compact(support), "", legend, told]


def _routes(support: Support) -> list[str]:
    lines = [f"{LEGEND}."]
    for name in default_routes():
        title = registry.routes()[name].title
        lines += ["", f"### {name}: {title}", "", *by_route(support, name)]
    return lines


REGIONS: Mapping[str, Callable[[Support], list[str]]] = {
    "support-counts": _counts,
    "support-compact": _compact,
    "support-routes": _routes,
    "support-not-measured": not_measured,
    "formats-counts": _counts,
    "formats-list": what_they_are,
    "formats-table": what_came_back,
    "formats-without-result": without_result,
    "ahead-counts": _counts,
    "ahead-list": ahead.what_they_are,
    "ahead-table": ahead.what_came_back,
    "ahead-without-result": without_result,
}


def filled(text: str, support: Support) -> str:
    """Return the text with every region written anew.

    Raises:
        UsageError: a region has a name that nothing writes, or none is there.
    """
    found = [match["name"] for match in REGION.finditer(text)]
    unknown = sorted(set(found) - REGIONS.keys())
    if unknown or not found:
        named = ", ".join(unknown) or "no region"
        raise UsageError(f"{named}: regions are named {', '.join(REGIONS)}")
    return REGION.sub(lambda match: _region(match["name"], support), text)


def _region(name: str, support: Support) -> str:
    content = "\n".join(REGIONS[name](support))
    return f"<!-- {name} -->\n\n{content}\n\n<!-- /{name} -->"


def committed(root: Path = ROOT, path: Path = COMMITTED) -> Results:
    """Return committed results.

    Raises:
        UsageError: they are not there, or damaged.
    """
    return read_results(root / path)


def keep(results: Path, root: Path = ROOT, place: Path | None = None) -> Path:
    """Keep the results of a whole run as the committed ones, and say where.

    Without a place it is that of their cases.

    Raises:
        UsageError: they are partial, or some case is not as expected.
    """
    found = read_results(results)
    if not found.footer.complete or found.tally.unexpected or found.footer.unused:
        raise UsageError(
            f"{results} is not kept: {found.tally.unexpected} cases are not as expected, "
            f"{found.header.planned - found.tally.cases} not run, "
            f"{len(found.footer.unused)} expectations unused; mend that first"
        )
    path = root / (place or _place(map(find, found.cases)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(results.read_text(encoding="utf-8")))
    return path


def _place(cases: Iterable[Case]) -> Path:
    """Return where the results of these cases are kept."""
    found = list(cases)
    if all(case.format.ahead for case in found):
        return AHEAD
    return EXTRA if all(case.extra for case in found) else COMMITTED


def main(arguments: Iterable[str], root: Path = ROOT) -> list[Path]:
    """Keep the results that are named, if any, and write the documents that they are in, or all."""
    kept = [keep(Path(each), root) for each in arguments]
    written = [*kept]
    for document, results in DOCUMENTS.items():
        if kept and root / results not in kept:
            continue
        path, support = root / document, Support.of(committed(root, results))
        path.write_text(filled(path.read_text(encoding="utf-8"), support), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    try:
        for done in main(sys.argv[1:2]):
            print(done)
    except UsageError as error:
        sys.exit(f"{error}")
