"""`conformance compare` on results files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from test_accept import ENTRY, exceptions
from test_comparison import ALL_PASS, BREAKS, NEW, OLD, PASS, A, results
from typer.testing import CliRunner

from conformance.cli import app
from conformance.errors import UsageError
from conformance.judging.results import ResultsWriter
from conformance.roundtrip.outcome import Outcome


def on_disk(path: Path, cases: Mapping[str, Outcome], versions: Mapping[str, str]) -> str:
    held = results(cases, versions)
    with ResultsWriter(path, held.header) as writer:
        for each in held.cases.values():
            writer.write(each.outcome, each.judgement)
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """Old, new and broken, new and sound."""
    return (
        on_disk(tmp_path / "old.jsonl", ALL_PASS, OLD),
        on_disk(tmp_path / "new.jsonl", {**ALL_PASS, A: BREAKS}, NEW),
        on_disk(tmp_path / "good.jsonl", {A: PASS}, NEW),
    )


def invoke(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["compare", *arguments])
    return ended.exit_code, ended.stdout


def test_the_command_answers_in_its_first_line(files: tuple[str, str, str]) -> None:
    code, printed = invoke(files[0], files[1])
    assert code == 1
    first = printed.splitlines()[0]
    assert first == (
        "Do not upgrade torchao 0.17.0 -> 0.18.0: 1 cause breaks 1 of 4 cases; 3 same."
    )


def test_the_command_takes_retries_and_exceptions(
    files: tuple[str, str, str], tmp_path: Path
) -> None:
    assert invoke(files[0], files[1], "--retry", files[2])[0] == 0
    accept = exceptions(tmp_path, {k: v for k, v in ENTRY.items() if k != "until"})
    assert invoke(files[0], files[1], "--accept", str(accept))[0] == 0


def test_the_command_prints_json(files: tuple[str, str, str]) -> None:
    code, printed = invoke(files[0], files[0], "--json")
    assert (code, json.loads(printed)["decision"]) == (0, "compatible")


def test_a_self_check_wants_equal_versions(files: tuple[str, str, str]) -> None:
    ended = CliRunner().invoke(app, ["compare", files[0], files[1], "--self-check"])
    assert isinstance(ended.exception, UsageError)
    assert "torchao 0.17.0 -> 0.18.0; leave the option out" in str(ended.exception)
    code, printed = invoke(files[0], files[0], "--self-check")
    assert (code, "none of 4 cases is flaky" in printed) == (0, True)
