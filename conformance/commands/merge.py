"""`conformance merge`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from conformance.case import all_cases, all_ids, default_cases
from conformance.commands.report import run_report
from conformance.errors import UsageError
from conformance.judging.expectations import active, load_expectations, packaged
from conformance.judging.parts import merged_header
from conformance.judging.results import Header, Results, ResultsWriter, read_results
from conformance.judging.summary import exit_code
from conformance.report import text
from conformance.roundtrip.checks import check_names
from conformance.session import Session

EPILOG = """Examples:

[bold]conformance merge shard-*.jsonl -o results.jsonl[/]

Exit codes: those of a whole run: 0 as expected, 1 not as expected, 2 usage, 3 inconclusive."""


def command(
    shards: Annotated[
        list[Path], typer.Argument(metavar="SHARD...", help="The results of every shard.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the whole run goes.")
    ],
    expectations: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The further expectations of the shards; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Join the shards of one run to the results that the whole run would have written."""
    if output.resolve() in {path.resolve() for path in shards}:
        raise UsageError(f"{output} is one of the shards; give --output another name")
    _no_file_twice(shards)
    files = {str(path): read_results(path) for path in shards}
    header = merged_header(files)
    session = _write(output, header, files.values(), expectations or ())
    unused = session.results.unused if session.results else ()
    if as_json:
        print(json.dumps(_json(session, unused, header, output), indent=1))
    else:
        out = text.console()
        text.show(out, text.summary(session.tally, session.causes, unused, planned=header.planned))
        text.show(out, text.line(f"\nresults: {output}"))
    place = run_report(output, expectations or ())
    text.show(text.console(stderr=as_json), text.line(place))
    raise typer.Exit(exit_code(session.tally, unused))


def _json(session: Session, unused: Sequence[str], header: Header, output: Path) -> dict[str, Any]:
    return {
        "headline": text.headline(session.tally, unused, header.planned),
        "counts": asdict(session.tally),
        "unused": list(unused),
        "results": str(output),
    }


def _no_file_twice(paths: Iterable[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise UsageError(f"{path} is given twice; name the file of every shard once")
        seen.add(path.resolve())


def _write(
    output: Path, header: Header, parts: Iterable[Results], extra: Iterable[Path]
) -> Session:
    """Write every case as its shard judged it; only a whole run knows unused expectations."""
    parts = tuple(parts)
    known = load_expectations((*packaged(), *extra), check_names(), all_ids())
    held = {case: result for part in parts for case, result in part.cases.items()}
    cases = tuple(case for case in all_cases().values() if case.id in held)
    finished = datetime.fromisoformat(max(part.footer.finished for part in parts))
    with ResultsWriter(output, header, lambda: finished) as writer:
        for result in held.values():
            writer.write(result.outcome, result.judgement)
        session = Session(cases, active(known, header.versions), writer, list(writer.held))
        writer.unused = session.unused(default_cases())
    return session
