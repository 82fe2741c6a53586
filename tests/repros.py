"""What the tests of repros share: cases, results, and what a script must be like."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.case import Case, find
from conformance.environment import observed_versions
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchange_results import ExchangeHeader, ExchangeResults
from conformance.judging.expectations import Expectation
from conformance.judging.judge import judge
from conformance.judging.results import Header, Result, ResultsWriter, Selection
from conformance.report.repro.choose import by_expectation
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import LIMIT
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    Outcome,
    Stage,
)
from conformance.session import current_expectations

EXPECTATIONS = current_expectations()
VERSIONS = {**observed_versions(), "python": "3.11.7", "torch": "2.13.0+cpu"}
CASE = find("flux-tiny.int8wo.quantize_.pickle.cpu")
UNSAVED = find("flux-tiny.int8wo.quantize_.safetensors.cpu")
HEADER = re.compile(r"(?m)^# /// script\n((?:#(?: .*)?\n)+)# ///$")
WIDTH = 100


def known(_: object) -> Sequence[Expectation]:
    return EXPECTATIONS


def repro(case: Case, name: str = "") -> Repro:
    return by_expectation(case, VERSIONS, known, name)


def result(*findings: Finding, failure: Failure | None = None, **more: Any) -> Result:
    outcome = Outcome(CASE.id, findings=findings, failure=failure, **more)
    return Result(outcome, judge(outcome, EXPECTATIONS))


def finding(check: str, harm: Harm = Harm.ALTERED, **more: Any) -> Finding:
    return Finding(
        **{
            "check": check,
            "stage": Stage.STRUCTURE,
            "harm": harm,
            "path": "proj_out.weight",
            "what": f"{check} differs",
            "wanted": "1",
            "got": "2",
            **more,
        }
    )


# Exchanges.


WRITER, READER = "torchao0.17.0,diffusers0.42.1", "torchao0.18.0,diffusers0.42.1"


def cell(outcome: Outcome | None) -> Cell:
    if outcome is None:
        nothing = Nothing(Unmeasured.NOT_WRITTEN, "no such config")
        return Cell(CASE.id, WRITER, READER, nothing=nothing)
    return Cell(CASE.id, WRITER, READER, Readings(WRITER, CASE.id, outcome, outcome))


def exchanged(outcome: Outcome | None) -> ExchangeResults:
    versions = {WRITER: {**VERSIONS, "torchao": "0.17.0"}}, {READER: VERSIONS}
    header = ExchangeHeader(*versions, cases=(CASE.id,), globs=(), started="")
    return ExchangeResults(header, (cell(outcome),), complete=True)


# Scripts.


def wrong_with(text: str) -> list[str]:
    compile(text, "repro.py", "exec")
    lines = text.splitlines()
    return [
        *(["is too long"] if len(lines) > LIMIT else []),
        *(["has a line that is too wide"] if max(map(len, lines)) > WIDTH else []),
        *(["knows the suite"] if re.search(r"\bconformance\b", text) else []),
        *(["has no header"] if not HEADER.match(text) else []),
        *(["is not filled in"] if re.search(r"\{\{|\{config\}|\{model\}|None\(", text) else []),
    ]


def results_file(directory: Path, *results: Result) -> Path:
    header = Header.now(VERSIONS, {"python": "3.12.1"}, Selection(), len(results))
    with ResultsWriter(directory / "r.jsonl", header) as writer:
        for each in results:
            writer.write(each.outcome, each.judgement)
    return directory / "r.jsonl"
