"""A full disk ends a run with a line: no defect of a library, and nothing measured is lost."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from stand_in import answer

from conformance import cli, session
from conformance.case import Case, find
from conformance.commands import run
from conformance.judging.parts import read_begun
from conformance.roundtrip import disk, verify
from conformance.roundtrip.disk import NoSpaceError, is_full, require_space
from conformance.roundtrip.ladder import BrokenError, HarnessError, Ladder, NoResultError, ours
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome, Reader, Stage

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
RUST = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
UNSAID = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


def ended_by(error: Exception, directory: Path | None = None) -> NoResult:
    with pytest.raises(NoResultError) as caught, Ladder(Reader.SAME).stage(Stage.SAVE, directory):
        raise error
    return caught.value.no_result


@pytest.mark.parametrize("error", [FULL, RUST])
def test_a_save_onto_a_full_disk_says_nothing_of_the_library(error: Exception) -> None:
    ended = ended_by(error)
    assert ended.kind is NoResultKind.HARNESS_ERROR
    assert ended.reason.startswith("No space left on device: ")
    with pytest.raises(NoSpaceError, match="x could not be measured"):
        require_space(Outcome("x", no_result=ended))


def test_torch_does_not_say_so_and_the_disk_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_full(tmp_path)
    with pytest.raises(BrokenError), Ladder(Reader.SAME).stage(Stage.SAVE, tmp_path):
        raise UNSAID
    monkeypatch.setattr(disk, "ROOM", 2**80)
    assert is_full(tmp_path)
    assert ended_by(UNSAID, tmp_path).reason.endswith("data/0: file write failed")


def test_a_disk_that_is_full_when_it_is_saved_once_more_is_no_failed_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "record.json").touch()

    def full(*_: object) -> Iterator[object]:
        raise UNSAID
        yield

    monkeypatch.setattr(verify, "_rounds", full)
    case, nothing = find("flux-tiny.int8wo.quantize_.pickle.cpu"), cast("Any", None)

    def resave() -> None:
        verify.resave(case, tmp_path, Ladder(Reader.FRESH), nothing, nothing)

    with pytest.raises(BrokenError) as broken:
        resave()
    assert (broken.value.failure.stage, broken.value.failure.leftovers) == (Stage.RESAVE, ())
    monkeypatch.setattr(disk, "ROOM", 2**80)
    with pytest.raises(NoResultError, match=r"^No space left on device: "):
        resave()


@pytest.mark.parametrize(
    "ended",
    [
        None,
        NoResult(NoResultKind.HARNESS_ERROR, "two different outputs"),
        NoResult(NoResultKind.SKIPPED, "No space left on device"),
    ],
)
def test_what_ended_otherwise_goes_on(ended: NoResult | None) -> None:
    outcome = Outcome("x", no_result=ended)
    assert require_space(outcome) is outcome


@pytest.mark.parametrize("stage", [Stage.QUANTIZE, Stage.INSPECT])
def test_what_breaks_in_our_own_part_of_a_stage_is_no_failure_of_a_library(stage: Stage) -> None:
    with pytest.raises(NoResultError) as caught, Ladder(Reader.SAME).stage(stage), ours():
        raise KeyError("weight")
    assert caught.value.no_result == NoResult(
        NoResultKind.HARNESS_ERROR, "KeyError: 'weight'", stage
    )
    with pytest.raises(HarnessError, match=r"^no tensor was quantized$"), ours():
        raise HarnessError("no tensor was quantized")


def test_no_memory_in_our_own_part_is_no_memory() -> None:
    with pytest.raises(NoResultError) as caught, Ladder(Reader.SAME).stage(Stage.QUANTIZE), ours():
        raise MemoryError
    assert caught.value.no_result.kind is NoResultKind.OUT_OF_MEMORY


# The command

RUN = ("run", "-s", "flux-tiny.int8wo.quantize_.pickle*.cpu")


def conformance(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def in_a_worker(case: Case) -> Outcome:
    return Outcome(case.id, no_result=ended_by(FULL))


def in_the_results(_: Case) -> Outcome:
    raise FULL


@pytest.mark.thorough
@pytest.mark.parametrize("second", [in_a_worker, in_the_results])
def test_a_run_keeps_what_it_measured_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    second: object,
) -> None:
    def answers(cases: Iterable[Case], *_: object) -> Iterator[Outcome]:
        first, other = cases
        yield answer(first)
        yield second(other) if callable(second) else answer(other)

    def healthy(cases: Iterable[Case], *_: object) -> Iterator[Outcome]:
        yield from (Outcome(case.id) for case in cases)

    monkeypatch.setattr(session, "packaged", tuple)
    monkeypatch.setattr(run, "run_cases", answers)
    path = tmp_path / "r.jsonl"
    assert conformance(monkeypatch, *RUN, "--results", str(path)) == 3
    said = [line for line in capfd.readouterr().err.splitlines() if "conformance: " in line]
    assert len(said) == 1
    assert said[0].endswith("what was measured is kept")
    assert len(read_begun(path).cases) == 1
    monkeypatch.setattr(run, "run_cases", healthy)
    assert conformance(monkeypatch, *RUN, "--results", str(path), "--resume") == 0
    assert len(read_begun(path).cases) == 2


def test_another_error_of_the_system_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(OSError, match="broken"):
        cli.main()
