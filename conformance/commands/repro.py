"""`conformance repro`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from conformance.case import all_ids, find
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.judging.exchange_results import read_exchange
from conformance.judging.expectations import (
    Expectation,
    active,
    load_expectations,
    packaged,
)
from conformance.judging.results import read_results
from conformance.report import text
from conformance.report.repro.choose import by_cell, by_expectation, by_result
from conformance.report.repro.defect import Raised
from conformance.report.repro.issue import issue
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import exchange_scripts, script
from conformance.roundtrip.checks import check_names

EPILOG = """Examples:

[bold]conformance repro flux-tiny.int8wo.quantize_.safetensors.cpu > repro.py[/]  (what is expected)

[bold]uv run repro.py[/]  (installs the versions and runs it)

[bold]git bisect run python repro.py[/]  (in a checkout of the library, installed editable)

[bold]conformance repro flux-tiny.nf4.quantize_.pickle.cpu --defect nf4-loaded-other-output[/]

[bold]conformance repro CASE --results results.jsonl --markdown > issue.md[/]  (what was measured)

[bold]conformance repro 'CASE@WRITER>READER' --results exchange.jsonl -o repro/[/]

A script exits with 1 while its defect is there, 0 when it is gone and 125 when that cannot be told,
as `git bisect run` wants it."""

NAME = "repro.py"


@dataclass(frozen=True)
class _Made:
    repro: Repro
    scripts: Mapping[str, str]
    writer: Repro | None = None


def command(
    case_id: Annotated[
        str, typer.Argument(metavar="CASE", help="A case, or a cell CASE@WRITER>READER.")
    ],
    results: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show what this file says, not what is expected."),
    ] = None,
    defect: Annotated[
        str,
        typer.Option(metavar="NAME", help="An expectation or a check; without it, the worst."),
    ] = "",
    expectations: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Further expectations; repeatable.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIRECTORY", help="Write the scripts there."),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print it as an issue for upstream.")
    ] = False,
) -> None:
    """Write a case as a script of its own, without the suite."""
    made = _make(case_id, results, defect, expectations or ())
    if as_markdown:
        print(issue(made.repro, made.scripts, made.writer), end="")
        _tell_of_traceback(made.repro)
    elif output is None and made.writer is not None:
        raise UsageError("an exchange gives three scripts; name a directory with -o DIRECTORY")
    elif output is None:
        print(made.scripts[NAME], end="")
    if output is not None:
        _write(output, made.scripts)


def _make(case_id: str, results: Path | None, defect: str, expectations: Sequence[Path]) -> _Made:
    def known(versions: Mapping[str, str]) -> tuple[Expectation, ...]:
        files = (*packaged(), *expectations)
        return active(load_expectations(files, check_names(), all_ids()), versions)

    if "@" in case_id:
        if results is None:
            raise UsageError("what an exchange gave is in its results; give them with --results")
        writer, reader = by_cell(case_id, read_exchange(results), defect)
        return _Made(reader, exchange_scripts(writer, reader), writer)
    case = find(case_id)
    repro = (
        by_expectation(case, observed_versions(), known, defect, hardware())
        if results is None
        else by_result(case, read_results(results), known, defect)
    )
    return _Made(repro, {NAME: script(repro)})


def _tell_of_traceback(repro: Repro) -> None:
    if isinstance(repro.shown, Raised) and repro.defect and not repro.defect.traceback:
        hint = "it has no traceback; give one with --results FILE, which `conformance run` writes"
        text.show(text.console(stderr=True), text.line(hint))


def _write(directory: Path, scripts: Mapping[str, str]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, lines in scripts.items():
            (directory / name).write_text(lines, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror or error}; name another directory"
        ) from None
    text.show(text.console(stderr=True), text.line(f"run it: uv run {directory / NAME}"))
