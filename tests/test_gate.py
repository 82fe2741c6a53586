"""A real gate: real uv, real environments, the running suite in them on toy libraries."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from called import forget_uv
from fake_index import (
    CRASHES,
    FIXED,
    FLAKY,
    HANGS,
    LOST,
    REGRESSED,
    SAME,
    STEM,
    WORSENED,
    environments_file,
    variables,
)
from toys import Shell, only, wait_for
from typer.testing import CliRunner

from conformance.cli import app
from conformance.errors import UsageError
from conformance.judging.exchange_results import read_exchange
from conformance.judging.results import read_results
from conformance.versions.gate import NAMES
from conformance.versions.hold import held

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]

EXPECTED = Path(__file__).with_name("expected") / "gate-1.0-2.0.json"
OLD = "toyhost1.0,toyquant1.0"
HEADLINE = (
    "Do not upgrade toyquant 1.0 -> 2.0, toyhost 1.0 -> 2.0: 6 causes break 8 of 26 cases; "
    "2 fixed; 2 improved; 2 changed; 5 lost; 2 flaky; 1 added; 1 measured on neither side; 3 same."
)
UNSTABLE = ("before", "after", "hardware", "files", "seconds")
"""What of the JSON is about this machine and this day."""
ACCEPTED = f"""
[[exception]]
name = "known"
cases = ["{REGRESSED}"]
changes = ["regressed"]
cause = "KeyError"
reason = "A toy's break."
reviewed-by = "a test"
date = 2026-01-01
"""


@pytest.fixture(scope="module")
def given(index: Path, scratch: Path) -> Iterator[dict[str, str]]:
    yield variables(index, scratch)
    forget_uv()


@pytest.fixture
def shell(given: dict[str, str], scratch: Path, tmp_path: Path) -> Shell:
    return Shell("gate", given, environments_file(scratch), tmp_path)


STEP = ("--baseline", "toy1.0", "--candidate", "toy2.0")


def stable(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in UNSTABLE}


EVERYTHING = ("--select", f"{STEM}.*.cpu", "--exchange", "--timeout", "4")


@pytest.mark.slow
def test_every_kind_of_change_is_as_committed(shell: Shell) -> None:
    done = shell.run(*STEP, *EVERYTHING, "--json")
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert stable(answer) == json.loads(EXPECTED.read_text(encoding="utf-8"))
    assert json.loads((shell.results / "gate.json").read_text()) == answer
    assert set(answer["counts"]) - {"accepted"} == {
        name for name, count in answer["counts"].items() if count
    }
    assert sum(answer["counts"].values()) == answer["cases"] == 14 + 12
    _retries_what_would_block(shell, answer)
    assert "baseline 14 of 14 cases, candidate 14 of 14 cases" in done.stderr
    assert "12 checkpoints of the baseline, read by both" in done.stderr
    before = {name: shell.lines(name) for name in NAMES}
    _reads_well(shell, shell.run(*STEP, *EVERYTHING, "--resume", TOY_DIES_AT=SAME).stdout)
    assert {name: shell.lines(name)[1:-1] for name in NAMES} == {
        name: lines[1:-1] for name, lines in before.items()
    }


def _retries_what_would_block(shell: Shell, answer: Mapping[str, Any]) -> None:
    blocking = {row["id"] for row in answer["rows"] if row["blocks"]}
    blocking -= {LOST}  # it is skipped: a second attempt would be, too
    retried = set(read_results(shell.results / "retry.jsonl").cases)
    again = read_exchange(shell.results / "exchange-retry.jsonl").cells
    readings = {f"{each.case}@{OLD}" for each in again}
    assert retried | readings == blocking | {FLAKY, f"{FLAKY}@{OLD}"}
    assert {case for case in blocking if "@" in case} == readings - {f"{FLAKY}@{OLD}"}


def _reads_well(shell: Shell, said: str) -> None:
    headline, *others = said.splitlines()
    assert headline == HEADLINE
    files = ", ".join(str(shell.results / f"{name}.jsonl") for name in NAMES)
    assert f"results: {files}" in others
    look = f"look: conformance show {WORSENED} --results {shell.results}/candidate.jsonl"
    assert others[-2:] == [look, f"report: {shell.results / 'report.html'}"]
    assert "\x1b" not in said


def test_a_reviewed_exception_is_no_block_and_is_not_retried(shell: Shell) -> None:
    (shell.directory / "reviewed.toml").write_text(ACCEPTED)
    accept = ("--accept", str(shell.directory / "reviewed.toml"))
    done = shell.run(*STEP, *only(SAME, REGRESSED), *accept, "-n", "64")
    assert done.returncode == 0, done.stdout
    assert "1 accepted; 1 same" in done.stdout
    assert not (shell.results / "retry.jsonl").exists()
    assert done.stderr.splitlines()[-2:] == [
        "baseline 2 of 2 cases",
        "baseline 2 of 2 cases, candidate 2 of 2 cases",
    ], "where there are not cores enough for both, one runs after the other"


@pytest.mark.slow
def test_what_is_accepted_later_keeps_its_retry(shell: Shell) -> None:
    cases = only(REGRESSED, WORSENED)
    assert shell.run(*STEP, *cases).returncode == 1
    before = shell.lines("retry")
    (shell.directory / "reviewed.toml").write_text(ACCEPTED)
    accept = ("--accept", str(shell.directory / "reviewed.toml"))
    done = shell.run(*STEP, *cases, *accept, "--resume", "--json", TOY_DIES_AT=WORSENED)
    counts = json.loads(done.stdout)["counts"]
    assert (counts["accepted"], counts["worsened"], counts["regressed"]) == (1, 1, 0)
    assert [len(row["after"]) for row in json.loads(done.stdout)["rows"]] == [2, 2]
    assert shell.lines("retry") == before


@pytest.mark.slow
def test_against_itself_it_lists_what_is_flaky(shell: Shell) -> None:
    done = shell.run("--baseline", "toy2.0", "--self-check", *only(SAME, FLAKY))
    assert done.returncode == 1
    assert "against itself: 1 of 2 cases is flaky; 1 same." in done.stdout.splitlines()[0]
    assert any(line.startswith(FLAKY) for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        ("contradicts", "depends on toyquant>=1.1 and you require toyquant==1.0"),
        ("raises", "does not import: ImportError: built for another host"),
        ("toyquant==9.0 toyhost==1.0", "there is no version of toyquant==9.0"),
    ],
)
def test_an_environment_that_cannot_be_is_inconclusive(
    shell: Shell, candidate: str, words: str
) -> None:
    done = shell.run("--baseline", "toy1.0", "--candidate", candidate, "--json", *only(SAME))
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["decision"] == "inconclusive"
    assert words in answer["headline"]
    assert "--resume" not in answer["headline"]


@pytest.mark.slow
def test_a_run_that_refuses_is_inconclusive_in_its_words(shell: Shell) -> None:
    done = shell.run(*STEP, *only(SAME), TOY_REFUSES="2.0")
    assert done.returncode == 3
    assert done.stdout.startswith("Inconclusive: the run candidate did not end: ")
    assert "the libraries under test do not import" in done.stdout


@pytest.mark.slow
def test_a_killed_run_is_finished_by_resume_and_nothing_is_run_anew(shell: Shell) -> None:
    cases = only(SAME, FIXED, CRASHES)
    killed = shell.run(*STEP, *cases, TOY_DIES_AT=CRASHES)
    assert killed.returncode == 3
    assert "--resume goes on, and nothing measured is lost" in killed.stdout
    before = {name: shell.lines(name) for name in ("baseline", "candidate")}
    assert [len(lines) for lines in before.values()] == [3, 3]
    done = shell.run(*STEP, *cases, "--resume", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["counts"]["lost"] == 1
    for name, lines in before.items():
        assert shell.lines(name)[:3] == lines
    whole = {name: shell.lines(name) for name in ("baseline", "candidate", "retry")}
    again = shell.run(*STEP, *cases, "--resume", "--json", TOY_DIES_AT=SAME)
    assert stable(json.loads(again.stdout)) == stable(json.loads(done.stdout))
    assert {name: shell.lines(name) for name in whole} == whole
    assert json.loads(again.stdout)["seconds"].keys() == {"environments", "in all"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--exchange",)], ids=["in a run", "in the exchange"])
def test_a_full_disk_is_inconclusive_and_goes_on(shell: Shell, options: tuple[str, ...]) -> None:
    cases = only(SAME, FIXED)
    if options:
        assert shell.run(*STEP, *cases).returncode == 0
        cases.append("--resume")
    before = shell.lines("baseline")
    full = shell.run(*STEP, *cases, *options, TOY_FULL_AT=FIXED)
    assert full.returncode == 3
    assert "no space left: " in full.stdout + full.stderr
    assert "Traceback" not in full.stdout + full.stderr
    assert shell.lines("baseline")[:2] == before[:2] or not options
    assert SAME.encode() in shell.lines("baseline")[1]
    done = shell.run(*STEP, *cases, *options, "--resume")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "ctrl_c"),
    [(signal.SIGINT, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_IGN)],
    ids=["Ctrl-C", "SIGTERM, in the background"],
)
def test_broken_off_it_stops_both_runs_and_says_how_to_go_on(
    shell: Shell, number: signal.Signals, ctrl_c: signal.Handlers
) -> None:
    cases = only(SAME, FIXED, LOST)
    going = shell.start(*STEP, *cases, ctrl_c=ctrl_c, TOY_WAITS_AT=LOST)
    wait_for(lambda: min(len(shell.lines(name)) for name in ("baseline", "candidate")) == 3)
    going.send_signal(number)
    said, _ = going.communicate(timeout=60)
    assert going.returncode == 3
    assert said == (
        "Inconclusive: broken off; "
        "the same command with --resume goes on, and nothing measured is lost\n"
    )
    for name in ("baseline", "candidate"):
        partial = read_results(shell.results / f"{name}.jsonl")
        assert (list(partial.cases), partial.footer.complete) == ([SAME, FIXED], False)
    with held(shell.results):
        pass


@pytest.mark.slow
def test_runs_that_a_killed_gate_left_behind_keep_the_next_one_out(shell: Shell) -> None:
    going = shell.start(*STEP, *only(SAME, LOST), TOY_WAITS_AT=LOST)
    wait_for(lambda: min(len(shell.lines(name)) for name in ("baseline", "candidate")) == 2)
    left = _children(going.pid)
    going.kill()
    going.wait()
    try:
        done = shell.run(*STEP, *only(SAME, LOST), "--resume")
        assert done.returncode == 2
        assert "is in use by another command, or by runs that it left behind" in done.stderr
    finally:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert len(left) == 2


def _children(parent: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def refused(arguments: Sequence[str]) -> str:
    ended = CliRunner().invoke(app, ["gate", *arguments])
    assert isinstance(ended.exception, UsageError), ended.output
    return str(ended.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "toy1.0", "--candidate", "toy3.0"), "did you mean 'toy"),
        (("--baseline", "toy1.0"), "name the versions that you would have: --candidate ENV"),
        ((*STEP, "--self-check"), "--self-check runs the baseline twice"),
        ((*STEP, "--select", "nothing.*"), "'nothing.*' matches no case"),
        ((*STEP, "--marker", "int8w"), "no marker 'int8w'; did you mean int8wo"),
        ((*STEP, "--accept", "gone.toml"), "gone.toml"),
    ],
)
def test_bad_input_is_a_line_before_anything_is_made(
    scratch: Path, tmp_path: Path, arguments: Sequence[str], said: str
) -> None:
    common = ["--environments", str(environments_file(scratch)), "--results", str(tmp_path / "g")]
    message = refused([*common, *arguments])
    assert said in message
    assert "\n" not in message
    assert not (tmp_path / "g").exists()


def test_a_place_that_cannot_be_written_is_a_line(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    common = ["--environments", str(environments_file(scratch)), *STEP]
    assert "give --results another directory" in refused(
        [*common, "--results", str(tmp_path / "file" / "gate")]
    )


@pytest.mark.slow
def test_what_does_not_break_is_compatible_and_retries_nothing(shell: Shell) -> None:
    done = shell.run(*STEP, *only(SAME))
    assert done.returncode == 0
    assert done.stdout.startswith(
        "toyquant 1.0 -> 2.0, toyhost 1.0 -> 2.0 is compatible: none of 1 case breaks; 1 same.\n"
    )
    assert not (shell.results / "retry.jsonl").exists()
    assert "look:" not in done.stdout
    _refuses_to_resume_something_else(shell)


def _refuses_to_resume_something_else(shell: Shell) -> None:
    before = shell.lines("baseline")
    other = shell.run(*STEP, *only(FIXED), "--resume")
    assert other.returncode == 2
    assert "baseline.jsonl is of another run: other globs or markers" in other.stderr
    moved = shell.run("--baseline", "toy2.0", "--candidate", "toy1.0", *only(SAME), "--resume")
    assert moved.returncode == 2
    assert "is of another run: toyquant 1.0 and 2.0" in moved.stderr
    assert shell.lines("baseline") == before
    header = json.loads(before[0])
    path = shell.results / "candidate.jsonl"
    path.write_text(json.dumps({**header, "schema": 99}) + "\n")
    old = shell.run(*STEP, *only(SAME), "--resume")
    assert old.returncode == 2
    assert "has schema version 99 and this suite reads version 1" in old.stderr
    assert len(old.stderr.splitlines()) == 1


def test_a_hang_and_a_crash_are_lost() -> None:
    rows = {row["id"]: row for row in json.loads(EXPECTED.read_text())["rows"]}
    for case, kind in ((HANGS, "timeout"), (CRASHES, "killed")):
        assert rows[case]["label"] == "lost"
        assert [each["no_result"] for each in rows[case]["after"]] == [kind, kind]


def test_help_has_examples() -> None:
    assert "--self-check" in CliRunner().invoke(app, ["gate", "--help"]).output
