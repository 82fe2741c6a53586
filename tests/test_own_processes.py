"""What is told of somebody's own checkpoint, and the processes that record and verify it."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import own_checkpoints
import pytest
from toys import wait_for

from conformance.report.own import Bar, verified_headline
from conformance.roundtrip.checkpoint import Asked, record_beside
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Stage,
)
from conformance.roundtrip.own import Answer
from conformance.versions.own import DiedError, ask, here
from conformance.versions.party import Party

pytestmark = pytest.mark.thorough

GONE = Failure(Stage.LOAD, "OSError", "Unable to load weights.\nmore", "Traceback: why")
BITS = Finding("bits", Stage.BITS, Harm.CORRUPT, "a/data", "bits differ", "00", "11")
OUTPUT = Finding("output", Stage.OUTPUT, Harm.CORRUPT, "output", "output differs", "0", "1")
NEW = {"torchao": "0.18.0", "diffusers": "0.42.1"}


# What is told


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome("x", findings=(OUTPUT,)), "and computes something else: output: output differs."),
        (
            Outcome("x", findings=(BITS,), failure=replace(GONE, stage=Stage.OUTPUT)),
            "loads to something else, and cannot be used here, at output: OSError: Unable",
        ),
        (
            Outcome("x", no_result=NoResult(NoResultKind.OUT_OF_MEMORY, "MemoryError: 1")),
            "has no result: MemoryError: 1.",
        ),
        (Outcome("x", storage_only="why"), "outputs not compared: why."),
    ],
    ids=["output", "broken", "memory", "silent"],
)
def test_the_headline_says_which_way_it_did_not_come_back(outcome: Outcome, words: str) -> None:
    sizes = {"tensors": 2.0, "quantized_tensors": 1.0, "payload_bytes": 3.0}
    said = verified_headline(Answer(replace(outcome, measures=sizes), versions={}), "mine")
    assert words in said


def test_a_log_has_a_line_for_what_begins_and_one_now_and_then(
    capfd: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 1.0, 6.0, 6.0, 7.0, 7.0])
    with Bar("mine", clock=lambda: next(times)) as far:
        for done in (0, 10, 20):
            far("loading", done, 100)
        far("comparing bits", 30, 100)
    assert capfd.readouterr().err.splitlines() == [
        "mine: loading, 0 bytes of 100 bytes",
        "mine: loading, 20 bytes of 100 bytes",
        "mine: comparing bits, 30 bytes of 100 bytes",
    ]


# In processes of their own


def test_a_fresh_process_records_and_verifies(tmp_path: Path) -> None:
    mine = own_checkpoints.plain(tmp_path)
    asked = Asked(mine, record_beside(mine))
    told: list[str] = []
    recorded = ask(here(), "record", asked, lambda what, *_: told.append(what))
    assert recorded.outcome.failure is None
    assert recorded.outcome.measures["peak_bytes"] > recorded.outcome.measures["file_bytes"]
    assert list(dict.fromkeys(told)) == [
        "reading files",
        "reading tensors in files",
        "loading",
        "comparing bits",
    ]
    assert ask(here(), "verify", asked).outcome.findings == ()


def scripted(script: str) -> Party:
    def start(arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen([sys.executable, "-c", script, *arguments], text=True, **options)

    return Party("scripted", NEW, start)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            'import os; print(\'{"far": ["loading", 0, 1]}\', flush=True); os.kill(os.getpid(), 9)',
            "the process died while loading: exit code -9",
        ),
        ("print('hello')", "the process ended while starting, without an answer"),
    ],
)
def test_a_process_without_an_answer_says_where_it_was(
    script: str, words: str, tmp_path: Path
) -> None:
    mine = own_checkpoints.plain(tmp_path)
    with pytest.raises(DiedError, match=words):
        ask(scripted(script), "verify", Asked(mine, record_beside(mine)))


@pytest.mark.slow
def test_a_record_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    path = own_checkpoints.pickled("flux-tiny", tmp_path / "mine")
    going = subprocess.Popen(
        [sys.executable, "-m", "conformance.cli", "record", str(path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert going.stderr
    os.set_blocking(going.stderr.fileno(), False)
    said = io.BytesIO()

    def begun() -> bool:
        said.write(going.stderr.read() or b"" if going.stderr else b"")
        return b"loading" in said.getvalue()

    wait_for(begun)
    os.killpg(going.pid, signal.SIGKILL)
    going.wait()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
