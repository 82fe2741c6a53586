"""The files of a gate that has ended, as the comparison that it was."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from conformance.errors import UsageError
from conformance.judging.comparison import Axes, Comparison, Side, compare
from conformance.judging.exchange import Cell, label
from conformance.judging.exchange_results import ExchangeResults, read_exchange
from conformance.judging.exchanged import as_result, joined
from conformance.judging.results import Result, Results, read_results
from conformance.versions.gate import AGAIN, ANSWER, BASELINE, CANDIDATE, EXCHANGE, RETRY


def read_gate(directory: Path, axes: Axes) -> Comparison:
    """Compare again what a gate left in its directory; what it accepted stays accepted.

    Raises:
        UsageError: the gate came to no answer, or its files are not whole.
    """
    answer = _answer(directory / ANSWER)
    before = read_results(_file(directory, BASELINE))
    after = read_results(_file(directory, CANDIDATE))
    retries = [read_results(each) for each in [_file(directory, RETRY)] if each.is_file()]
    wrote = label(before.header.versions)
    if _file(directory, EXCHANGE).is_file():
        exchange = read_exchange(_file(directory, EXCHANGE))
        own = next(iter(exchange.header.readers))  # the baseline reads first
        before = _with(before, (cell for cell in exchange.cells if cell.reader == own), wrote)
        after = _with(after, (cell for cell in exchange.cells if cell.reader != own), wrote)
    if _file(directory, AGAIN).is_file():
        again = read_exchange(_file(directory, AGAIN))
        retries.append(_retry(after, again, wrote))
    today = datetime.now(timezone.utc).date()
    found = compare(Side(before), Side(after, tuple(retries)), _axes(axes, wrote), today=today)
    return _accepted(found, answer)


def is_gate(directory: Path) -> bool:
    """Did a gate run in this directory?"""
    return _file(directory, BASELINE).is_file() or (directory / ANSWER).is_file()


def _file(directory: Path, name: str) -> Path:
    return directory / f"{name}.jsonl"


def _answer(path: Path) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        {row["id"]: row["accepted_by"] for row in answer["rows"]}
        tuple(answer["red_exceptions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): the gate came to no answer; "
            "the same `conformance gate` with --resume ends it"
        ) from None
    return answer


def _with(results: Results, cells: Iterable[Cell], wrote: str) -> Results:
    return joined(results, _results(cells, wrote))


def _results(cells: Iterable[Cell], wrote: str) -> list[Result]:
    return [as_result(cell, f"{cell.case}@{wrote}") for cell in cells]


def _retry(after: Results, again: ExchangeResults, wrote: str) -> Results:
    return joined(replace(after, cases={}), _results(again.cells, wrote))


def _axes(axes: Axes, wrote: str) -> Axes:
    own = {f"{case}@{wrote}": {**values, "kind": "exchange"} for case, values in axes.items()}
    return {**axes, **own}


def _accepted(found: Comparison, answer: Mapping[str, Any]) -> Comparison:
    names = {row["id"]: row["accepted_by"] for row in answer["rows"]}
    rows = tuple(replace(row, accepted_by=names.get(row.case, "")) for row in found.rows)
    return replace(found, rows=rows, red_exceptions=tuple(answer["red_exceptions"]))
