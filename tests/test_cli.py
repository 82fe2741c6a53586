"""The command line, as people call it."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from called import Ran, called

from conformance.judging.results import read_results
from conformance.judging.verdicts import Verdict

PASSES = "flux-tiny.int8wo.quantize_.state-dict.cpu"
KNOWN = "flux-tiny.int8wo.quantize_.safetensors.cpu"
SKIPPED = "flux-tiny.int8wo.quantize_.pickle.cuda"
TOO_LONG = "flux-small.codebook4.quantize_.pickle.cpu"


def conformance(directory: Path, *arguments: str, encoding: str = "utf-8") -> Ran:
    """Call the command here: its engines fork from the server that the tests have anyway."""
    return called(*arguments, where=directory, encoding=encoding)


def in_a_process(directory: Path, *arguments: str, **environment: str) -> Ran:
    return subprocess.run(
        [sys.executable, "-m", "conformance.cli", *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Path]:
    directory = tmp_path_factory.mktemp("run")
    return conformance(directory, "run", "-n", "2", "-s", PASSES, "-s", KNOWN), directory


def test_a_run_that_is_as_expected_ends_with_0(ran: tuple[Ran, Path]) -> None:
    ended, directory = ran
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = read_results(directory / "conformance-results.jsonl")
    verdicts = {name: result.judgement.verdict for name, result in results.cases.items()}
    assert verdicts == {PASSES: Verdict.PASS, KNOWN: Verdict.SAVE_FAILED}
    assert results.footer.complete


def test_a_run_tells_verdicts_and_causes_without_colours(ran: tuple[Ran, Path]) -> None:
    printed = ran[0].stdout
    assert "save-failed" in printed
    assert "invalid python storage" in printed
    assert KNOWN in printed
    assert "\x1b" not in printed


def test_an_obsolete_expectation_ends_with_1(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        f"""[[expectation]]
name = "mended"
kind = "known-bug"
cases = ["{PASSES}"]
stage = "bits"
check = "bits"
what = "bits differ"
reason = "It was broken."
issue = "https://example.org/1"
"""
    )
    ended = conformance(tmp_path, "run", "-s", PASSES, "--expectations", str(mine))
    assert ended.returncode == 1
    assert "obsolete: passes under the expectation mended" in ended.stdout
    assert f"conformance run --select '{PASSES}'" in ended.stdout


def test_a_run_that_measured_nothing_ends_with_3(tmp_path: Path) -> None:
    ended = conformance(tmp_path, "run", "-s", SKIPPED)
    assert ended.returncode == 3
    assert "0 of 1 cases" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "-s", "flux-tinny.*"), "matches no case; did you mean 'flux-tiny.*'?"),
        (("run", "-m", "huge"), "huge"),
        (("run", "--timeout", "0"), "'--timeout'"),
        (("show", "flux-tiny.int9wo"), "no case 'flux-tiny.int9wo'"),
        (("run", "-s", PASSES, "--results", "nowhere/r.jsonl"), "cannot write the results"),
        (("run", "-s", PASSES, "--expectations", "gone.toml"), "cannot read the expectations"),
    ],
)
def test_bad_input_is_one_line_and_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = conformance(tmp_path, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_torchao_that_does_not_import_is_one_line_and_2(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torchao"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('built for another torch')\n")
    ended = in_a_process(tmp_path, "run", "-s", PASSES, PYTHONPATH=str(broken.parent))
    assert ended.returncode == 2
    assert "do not import together" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_cancelled_job_leave_a_partial_file(
    how: signal.Signals, tmp_path: Path
) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "conformance.cli", "run", "-s", "flux-tiny.int*.cpu"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    path = tmp_path / "conformance-results.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        path.exists() and path.read_text().count('"line": "case"') > 2
    ):
        time.sleep(0.1)
    started.send_signal(how)
    printed, said = started.communicate(timeout=60)
    assert "resource_tracker" not in said
    results = read_results(path)
    assert not results.footer.complete
    assert results.cases
    assert "partial results" in printed


def test_list_tells_what_can_be_measured(tmp_path: Path) -> None:
    ended = conformance(tmp_path, "list", "--json", "-s", PASSES, "-s", SKIPPED, "-s", TOO_LONG)
    status = json.loads(ended.stdout)
    assert status[PASSES] == "runs"
    assert SKIPPED in status
    assert status[TOO_LONG].startswith("no result: quantizing 11 M parameters takes ")


def test_show_tells_what_is_expected_and_what_came(ran: tuple[Ran, Path]) -> None:
    results = str(ran[1] / "conformance-results.jsonl")
    ended = conformance(ran[1], "show", KNOWN, "--results", results)
    assert "raw-safetensors-invalid-storage" in ended.stdout
    assert "https://github.com/safetensors/safetensors/issues/515" in ended.stdout
    assert "left behind: config.json" in ended.stdout


def test_a_log_in_ascii_has_question_marks(ran: tuple[Ran, Path]) -> None:
    results = str(ran[1] / "conformance-results.jsonl")
    ended = conformance(ran[1], "show", KNOWN, "--results", results, encoding="ascii")
    assert ended.returncode == 0, ended.stderr
    assert "? save" in ended.stdout
