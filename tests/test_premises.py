"""What a killed run leaves behind is removed by the next one; what is in use stays."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from conformance.case import Case, find
from conformance.roundtrip.engine import (
    BROKEN_OFF,
    SECONDS_PER_PARAMETER,
    WAITING,
    Engine,
    patience,
)
from conformance.roundtrip.outcome import NoResultKind, Outcome, Progress, Stage
from conformance.roundtrip.premises import OWNER, Premises, one_large_case, sweep

pytestmark = pytest.mark.thorough

TINY = find("flux-tiny.int8wo.quantize_.state-dict.cpu")
LARGE = find("flux-schnell.int8wo.quantize_.pickle.cpu")

OCCUPY = """
import sys, time
from conformance.roundtrip.premises import Premises
premises = Premises.occupy()
(premises.directory / "checkpoint").mkdir()
(premises.directory / "checkpoint" / "shard").write_bytes(bytes(1000))
print(premises.directory, flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def occupied() -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen([sys.executable, "-c", OCCUPY], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_killed_owner_s_files_are_removed_by_the_next_one(place: Path) -> None:
    process, directory = occupied()
    assert (directory / "checkpoint" / "shard").exists()
    process.kill()
    process.wait()
    premises = Premises.occupy()
    assert not directory.exists()
    assert list(place.glob("conformance-*")) == [premises.directory]
    premises.leave()
    assert list(place.glob("conformance-*")) == []


def test_the_files_of_an_owner_who_lives_stay(place: Path) -> None:
    process, directory = occupied()
    try:
        assert sweep(place) == []
        assert (directory / "checkpoint" / "shard").exists()
    finally:
        process.kill()
        process.wait()
    assert sweep(place) == [directory]


def test_the_files_of_our_own_engine_stay(place: Path) -> None:
    premises = Premises.occupy()
    assert sweep(place) == []
    premises.leave()


def test_a_directory_without_an_owner_s_lock_is_not_ours_to_remove(place: Path) -> None:
    (place / "conformance-results").mkdir()
    (place / "other" / OWNER).parent.mkdir()
    (place / "other" / OWNER).touch()
    assert sweep(place) == []
    assert (place / "other" / OWNER).exists()


def test_one_large_case_waits_for_the_other(place: Path) -> None:
    with one_large_case():
        waiting = one_large_case()
        with pytest.raises(TimeoutError):
            waiting.acquire(timeout=0.1)
    with waiting.acquire(timeout=0.1):
        assert place.is_dir()


# The engine. Its workers here write nothing.


def sleeping(connection: Connection, _: str) -> None:
    connection.recv()
    connection.send(str(Stage.SAVE))
    time.sleep(600)


def killed(connection: Connection, _: str) -> None:
    connection.recv()
    os.kill(os.getpid(), signal.SIGKILL)


def telling(connection: Connection, _: str) -> None:
    case, _target = connection.recv()
    connection.send(str(Stage.SAVE))
    connection.send(Progress("save", 3, 10))
    connection.send(Outcome(case).to_json())
    connection.recv()


def silent(connection: Connection, _: str) -> None:
    case, _target = connection.recv()
    connection.send(Outcome(case).to_json())
    connection.recv()


def soon(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.mark.usefixtures("place")
def test_a_case_that_nobody_waits_for_is_broken_off() -> None:
    given: list[Outcome] = []
    with Engine(writer=sleeping) as engine:
        thread = threading.Thread(target=lambda: given.append(engine.run(TINY)))
        thread.start()
        soon(lambda: engine._busy)
        engine.break_off()
        thread.join(60)
        directory = engine.directory
    assert not directory.exists()
    assert [each.no_result and each.no_result.kind for each in given] == [NoResultKind.KILLED]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("case", "more"), [(TINY, ""), (LARGE, ": the system does so when memory runs out")]
)
def test_a_large_case_that_is_killed_says_what_that_usually_means(case: Case, more: str) -> None:
    with Engine(writer=killed) as engine:
        ended = engine.run(case).no_result
    assert ended is not None
    assert ended.kind is NoResultKind.KILLED
    assert ended.reason == f"the process ended by SIGKILL{more}"


@pytest.mark.usefixtures("place")
def test_progress_reaches_whoever_asked() -> None:
    told: list[tuple[str, Progress]] = []
    with Engine(
        writer=telling, reader=silent, told=lambda case, now: told.append((case, now))
    ) as engine:
        assert engine.run(TINY).no_result is None
    assert told == [(TINY.id, Progress("save", 3, 10))]


def at_work(engine: Engine, case: Case, given: list[Outcome]) -> threading.Thread:
    thread = threading.Thread(target=lambda: given.append(engine.run(case)), daemon=True)
    thread.start()
    return thread


@pytest.mark.usefixtures("place")
def test_a_large_case_that_waits_is_not_begun_when_the_run_is_broken_off() -> None:
    given: list[Outcome] = []
    waits: list[Outcome] = []
    told: list[tuple[str, Progress]] = []
    with (
        Engine(writer=sleeping) as engine,
        Engine(writer=sleeping, told=lambda case, now: told.append((case, now))) as other,
    ):
        thread = at_work(engine, LARGE, given)
        soon(lambda: engine._busy)
        waiting = at_work(other, LARGE, waits)
        soon(lambda: told)
        for each in (engine, other):
            each.break_off()
        thread.join(60)
        waiting.join(60)
        assert other._at_work is None
    assert set(told) == {(LARGE.id, WAITING)}
    assert [each.no_result and each.no_result.kind for each in given] == [NoResultKind.KILLED]
    assert waits == [Outcome(LARGE.id, no_result=BROKEN_OFF)]


@pytest.mark.usefixtures("place")
def test_whoever_waits_for_another_run_can_be_broken_off() -> None:
    given: list[Outcome] = []
    with one_large_case(), Engine(writer=sleeping) as engine:
        waiting = at_work(engine, LARGE, given)
        waiting.join(0.2)
        engine.break_off()
        waiting.join(60)
        assert given == [Outcome(LARGE.id, no_result=BROKEN_OFF)]


@pytest.mark.usefixtures("place")
def test_a_process_that_begins_as_the_run_is_broken_off_is_killed_too() -> None:
    with Engine(writer=sleeping) as engine:
        engine.break_off()
        ended = engine.run(TINY).no_result
    assert ended is not None
    assert ended.kind is NoResultKind.KILLED


@pytest.mark.usefixtures("place")
def test_the_machine_is_free_again_after_a_large_case() -> None:
    with Engine(writer=silent, reader=silent) as engine:
        assert engine.run(LARGE).no_result is None
        with one_large_case().acquire(timeout=0.1):
            pass


def test_a_large_model_gets_more_time() -> None:
    assert patience(TINY) == 0
    assert patience(LARGE) == pytest.approx(11_891_178_560 * SECONDS_PER_PARAMETER)


ORPHAN = """
import os, sys, time
from conformance.roundtrip.footprint import Footprint
if os.fork():
    os._exit(0)  # whoever asked for the work goes away
with Footprint().part("save"):
    time.sleep(600)
"""


def test_a_worker_whose_server_died_ends_itself() -> None:
    # The pipe is closed when the orphan is gone, too.
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN.replace("os._exit(0)", "time.sleep(1); os._exit(0)")],
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert done.stdout == b""


WAITS = "cogvideox-2b.int8wo.quantize_.pickle.cpu"
INTERRUPTED = f"""
import sys
from conformance.cli import main
sys.argv = ["conformance", "run", "-s", "{WAITS}", "--results", sys.argv[1]]
main()
"""


def test_ctrl_c_ends_a_run_that_waits_for_another_one(place: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(place / "results.jsonl")]
    # A shell starts what it puts into the background with Ctrl-C ignored.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    said = place / "said"
    with one_large_case(), said.open("w") as log:
        process = subprocess.Popen(command, cwd=place, stderr=log, preexec_fn=heard)
        try:
            soon(said.read_text)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 3
        finally:
            process.kill()
            process.wait()
    assert said.read_text().startswith(f"{WAITS}: {WAITING.part}, 0 s\n")
    assert list(place.glob("conformance-*/")) == []


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_full_run_that_is_stopped_leaves_no_files(how: signal.Signals, place: Path) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(place / "results.jsonl")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The model is built, quantized and called first, which takes minutes.
    soon(lambda: list(place.glob("conformance-*/1/checkpoint/*")), 900)
    process.send_signal(how)
    process.wait(60)
    if how is signal.SIGKILL:
        soon(lambda: sweep(place))
    assert list(place.glob("conformance-*/1")) == []
