"""Badges: what they say of a scheme and route, and that they never say more than was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_comparison import BREAKS, HUNG, NEW, PASS, SKIPPED, results
from test_results import write
from test_verdicts import finding
from typer.testing import CliRunner

from conformance.axes import registry
from conformance.case import all_cases, default_routes
from conformance.cli import app
from conformance.errors import UsageError
from conformance.judging.judge import judge
from conformance.report.badges import badge, badges
from conformance.roundtrip.outcome import Outcome

CORRUPT = Outcome("", findings=(finding(),))
AXES = {f"toy.{n}": {"scheme": "int8", "route": "direct"} for n in range(9)}
PAIRS = (("int8", "direct"), ("int4", "direct"))


def made(*outcomes: Outcome) -> dict[str, object]:
    return badge("int8 direct", [judge(replace(each, case="toy"), []) for each in outcomes])


@pytest.mark.parametrize(
    ("outcomes", "message", "colour"),
    [
        ((PASS, PASS), "2/2 pass", "brightgreen"),
        ((PASS, SKIPPED), "1/1 pass", "brightgreen"),
        ((PASS, BREAKS, BREAKS), "1/3 pass, 2 load-failed", "red"),
        ((PASS, BREAKS, CORRUPT), "1/3 pass, 1 corrupt", "black"),
        ((PASS, HUNG), "1/2 pass, 1 no result", "red"),
        ((CORRUPT, HUNG), "0/2 pass, 1 corrupt, 1 no result", "black"),
        ((HUNG,), "0/1 pass, 1 no result", "red"),
        ((SKIPPED, SKIPPED), "not measured", "lightgrey"),
        ((), "not measured", "lightgrey"),
    ],
)
def test_a_badge(outcomes: tuple[Outcome, ...], message: str, colour: str) -> None:
    assert made(*outcomes) == {
        "schemaVersion": 1,
        "label": "int8 direct",
        "message": message,
        "color": colour,
    }


@given(st.lists(st.sampled_from((PASS, BREAKS, CORRUPT, HUNG, SKIPPED)), max_size=6))
def test_green_means_that_all_that_could_be_measured_pass(outcomes: list[Outcome]) -> None:
    asked = [each for each in outcomes if each is not SKIPPED]
    green = bool(asked) and all(each is PASS for each in asked)
    assert (made(*outcomes)["color"] == "brightgreen") == green


def test_every_scheme_and_route_has_a_badge() -> None:
    found = badges(results({"toy.0": PASS}, NEW), AXES, PAIRS)
    assert {name: each["message"] for name, each in found.items()} == {
        "int8.direct.json": "1/1 pass",
        "int4.direct.json": "not measured",
    }


def test_a_partial_run_has_none() -> None:
    with pytest.raises(UsageError, match="1 of 2 cases"):
        badges(results({"toy.0": PASS}, NEW, planned=2), AXES, PAIRS)


def test_a_case_of_another_suite_is_an_error() -> None:
    with pytest.raises(UsageError, match="no case 'gone'"):
        badges(results({"gone": PASS}, NEW), AXES, PAIRS)


def test_the_command_writes_a_folder(tmp_path: Path) -> None:
    case = next(iter(all_cases().values()))
    measured = write(tmp_path / "r.jsonl", Outcome(case.id))
    folder = tmp_path / "deep" / "badges"
    args = ["summary", str(measured), "--format", "badges", "-o", str(folder)]
    assert CliRunner().invoke(app, args).exit_code == 0
    found = {path.name: json.loads(path.read_text()) for path in folder.iterdir()}
    assert len(found) == len(registry.schemes()) * len(default_routes())
    name = f"{case.scheme.name}.{case.route.name}.json"
    assert found.pop(name)["message"] == "1/1 pass"
    assert {each["color"] for each in found.values()} == {"lightgrey"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "badges"], "name their folder: --output DIR"),
        (["--format", "junit", "-o", "{file}/x"], "cannot write"),
        (["-o", "{folder}"], "cannot write"),
    ],
)
def test_what_cannot_be_written_is_said(options: list[str], said: str, tmp_path: Path) -> None:
    measured = write(tmp_path / "r.jsonl", Outcome("toy"))
    named = [each.format(file=measured, folder=tmp_path) for each in options]
    ended = CliRunner().invoke(app, ["summary", str(measured), *named])
    assert isinstance(ended.exception, UsageError)
    assert said in str(ended.exception)


@pytest.mark.parametrize(("form", "start"), [("markdown", "## 1 of 1"), ("junit", "<?xml")])
def test_the_command_prints_the_others(form: str, start: str, tmp_path: Path) -> None:
    measured = write(tmp_path / "r.jsonl", Outcome("toy"))
    printed = CliRunner().invoke(app, ["summary", str(measured), "--format", form])
    assert printed.exit_code == 0
    assert printed.stdout.startswith(start)
    saved = tmp_path / "out"
    CliRunner().invoke(app, ["summary", str(measured), "--format", form, "-o", str(saved)])
    assert saved.read_text() == printed.stdout
