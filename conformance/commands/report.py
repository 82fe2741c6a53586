"""`conformance report`, and the report that other commands write by themselves."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from conformance.axes import registry
from conformance.case import all_cases, all_ids
from conformance.errors import UsageError
from conformance.judging.comparison import Comparison, Side, compare
from conformance.judging.exchange_results import KIND, ExchangeResults, read_exchange
from conformance.judging.expectations import load_expectations, packaged
from conformance.judging.results import read_results
from conformance.report import text
from conformance.report.catalogue import defects
from conformance.report.html import Known, Page, of_comparison, of_exchange, of_run, render
from conformance.report.hung import hung
from conformance.roundtrip.checks import check_names
from conformance.session import axes_of
from conformance.versions.cache import write_whole
from conformance.versions.gate import CANDIDATE, EXCHANGE, REPORT
from conformance.versions.gate_files import is_gate, read_gate

EPILOG = """Examples:

[bold]conformance report conformance-results.jsonl[/]  (writes conformance-results.html)

[bold]conformance report after.jsonl --against before.jsonl -o report.html[/]

[bold]conformance report conformance-exchange.jsonl[/]

[bold]conformance report conformance-gate[/]  (the directory of a gate)

Exit codes: 0 written, 2 usage. The file needs no network: open it, or keep it as a CI artifact."""


def command(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS", help="Results of `run` or `exchange`, or a directory of `gate`."
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option(metavar="BASELINE", help="Results of before: what changed since?"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the report goes."),
    ] = None,
    expectations: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Expectations of your own that the run had; repeatable."),
    ] = None,
) -> None:
    """Draw a results file for people: one HTML file, with every case a click away."""
    path = output or place_beside(results)
    page = page_of(results, against, known(expectations or ()), path)
    write_report(page, path)
    text.show(text.console(), text.line(f"report: {path}"))


def known(extra: Iterable[Path] = ()) -> Known:
    """Return what the suite knows beside a results file.

    Raises:
        UsageError: a file of expectations is wrong.
    """
    cases = all_cases()
    declared = load_expectations((*packaged(), *extra), check_names(), all_ids())
    schemes = registry.schemes().values()
    return Known(
        axes=axes_of(cases.values()),
        expectations={each.name: each for each in declared},
        floors={each.name: each.sqnr for each in schemes if each.sqnr is not None},
        defects=defects(),
    )


def page_of(results: Path, against: Path | None, known: Known, report: Path) -> Page:
    """Return the report of what lies there: a run, two runs, an exchange or a gate.

    Args:
        results: what it is about.
        against: results of before, or None.
        known: what the suite knows beside it.
        report: where the report goes; links in it are relative to its folder.

    Raises:
        UsageError: it cannot be read, or goes with no baseline.
    """
    if results.is_dir():
        if not is_gate(results):
            raise UsageError(f"{results} is no directory of a gate; name a results file")
        _no_baseline(against, "a gate has its baseline already")
        return of_comparison(read_gate(results, known.axes), _of_gate(known, results))
    if _is_exchange(results):
        _no_baseline(against, "an exchange is compared with no other")
        return of_exchange(read_exchange(results), replace(known, exchange=results.name))
    known = replace(known, results=results.name)
    after = read_results(results)
    if against is None:
        drawn = hung(after, results.parent, report.parent)
        return of_run(after, replace(known, pictures=drawn))
    sides = Side(read_results(against)), Side(after)
    return of_comparison(compare(*sides, known.axes), known)


def _of_gate(known: Known, directory: Path) -> Known:
    results, exchange = (f"{directory.name}/{name}.jsonl" for name in (CANDIDATE, EXCHANGE))
    return replace(known, results=results, exchange=exchange)


def _no_baseline(against: Path | None, why: str) -> None:
    if against is not None:
        raise UsageError(f"{why}; leave --against out")


def _is_exchange(path: Path) -> bool:
    """Ask the header; what cannot be read is told by who reads it all."""
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(file.readline())
    except (OSError, ValueError):
        return False
    return isinstance(header, dict) and header.get("kind") == KIND


def place_beside(results: Path) -> Path:
    """Return where the report of some results goes when nobody says it."""
    return results / REPORT if results.is_dir() else results.with_suffix(".html")


def write_report(page: Page, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_whole(path, render(page).encode("utf-8", "replace"))
        path.chmod(0o644)
    except OSError as error:
        raise UsageError(
            f"cannot write the report to {path}: {error.strerror or error}; "
            "give -o a path in a folder that you may write to"
        ) from None


def run_report(path: Path, expectations: Iterable[Path] = ()) -> str:
    """Write the report of a run beside its results; return the line that says where."""
    extra = tuple(expectations)
    return _beside(path, lambda: page_of(path, None, known(extra), place_beside(path)))


def exchange_report(results: ExchangeResults, path: Path) -> str:
    """Write the report of an exchange beside its results; return the line that says where."""
    return _beside(path, lambda: of_exchange(results, replace(known(), exchange=path.name)))


def gate_report(found: Comparison, directory: Path) -> str:
    """Write the report of a gate into its directory; return the line that says where."""
    return _beside(directory, lambda: of_comparison(found, _of_gate(known(), directory)))


def _beside(path: Path, page: Callable[[], Page]) -> str:
    """What was measured stands, also when the report of it cannot be written."""
    place = place_beside(path)
    try:
        write_report(page(), place)
    except UsageError as error:
        return f"no report: {error}"
    return f"report: {place}"
