"""A stage turns what goes wrong into a failure or a reason, and is always timed."""

import errno
from pathlib import Path

import pytest
import torch

from conformance.errors import UnavailableError
from conformance.roundtrip.ladder import (
    BrokenError,
    HarnessError,
    Ladder,
    NoResultError,
    file_sizes,
)
from conformance.roundtrip.outcome import NoResultKind, Reader, Stage


def broken_by(error: Exception, stage: Stage, directory: Path | None = None) -> BrokenError:
    with pytest.raises(BrokenError) as caught, Ladder(Reader.FRESH).stage(stage, directory):
        raise error
    return caught.value


def ended_by(error: Exception, stage: Stage) -> NoResultError:
    with pytest.raises(NoResultError) as caught, Ladder(Reader.SAME).stage(stage):
        raise error
    return caught.value


def test_a_stage_is_announced_and_timed() -> None:
    announced: list[Stage] = []
    ladder = Ladder(Reader.SAME, announced.append)
    with ladder.stage(Stage.LOAD):
        assert announced == [Stage.LOAD]
    assert [(step.stage, step.reader) for step in ladder.steps] == [(Stage.LOAD, Reader.SAME)]
    assert ladder.steps[0].seconds >= 0


def test_a_stage_that_breaks_is_timed_too() -> None:
    ladder = Ladder(Reader.SAME)
    with pytest.raises(BrokenError), ladder.stage(Stage.LOAD):
        raise ValueError
    assert [step.stage for step in ladder.steps] == [Stage.LOAD]


def test_an_exception_of_the_libraries_is_a_failure_of_its_stage() -> None:
    failure = broken_by(KeyError("qdata"), Stage.LOAD).failure
    assert (failure.stage, failure.type, failure.message) == (Stage.LOAD, "KeyError", "'qdata'")
    assert failure.reader is Reader.FRESH
    assert "raise error" in failure.traceback
    assert failure.leftovers == ()


def test_a_failed_save_tells_what_it_left_behind(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "config.json").write_text("{}")
    failure = broken_by(ValueError("no"), Stage.SAVE, tmp_path).failure
    assert failure.leftovers == ("deep/config.json",)


@pytest.mark.parametrize(
    ("error", "stage", "kind"),
    [
        (UnavailableError("no CUDA"), Stage.RESOLVE, NoResultKind.SKIPPED),
        (UnavailableError("too old"), Stage.LOAD, NoResultKind.SKIPPED),
        (HarnessError("vacuous"), Stage.QUANTIZE, NoResultKind.HARNESS_ERROR),
        (MemoryError("24 GiB"), Stage.LOAD, NoResultKind.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Stage.SAVE, NoResultKind.OUT_OF_MEMORY),
        (KeyError("ours"), Stage.BUILD, NoResultKind.HARNESS_ERROR),
        (KeyError("ours"), Stage.RESOLVE, NoResultKind.HARNESS_ERROR),
    ],
)
def test_what_is_no_verdict_ends_the_case(
    error: Exception, stage: Stage, kind: NoResultKind
) -> None:
    ended = ended_by(error, stage).no_result
    assert (ended.kind, ended.stage) == (kind, stage)
    assert str(error) in ended.reason


def test_what_torch_cannot_allocate_is_memory_and_told_in_one_line() -> None:
    with pytest.raises(NoResultError) as caught, Ladder(Reader.SAME).stage(Stage.QUANTIZE):
        torch.empty(2**50, dtype=torch.uint8)
    ended = caught.value.no_result
    assert ended.kind is NoResultKind.OUT_OF_MEMORY
    assert ended.reason.count("\n") == 0
    assert "you tried to allocate 1125899906842624 bytes" in ended.reason


def test_the_memory_of_a_gpu_is_memory() -> None:
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")
    assert ended_by(error, Stage.QUANTIZE).no_result.kind is NoResultKind.OUT_OF_MEMORY


AcceleratorError = type("AcceleratorError", (RuntimeError,), {})
"""As torch names what CUDA reports, since 2.8."""


@pytest.mark.parametrize(
    "error",
    [
        AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_so_is_what_cuda_and_cublas_say_of_it_by_other_types(error: Exception) -> None:
    ended = ended_by(error, Stage.LOAD).no_result
    assert ended.kind is NoResultKind.OUT_OF_MEMORY
    assert ended.reason == f"{type(error).__name__}: {error}".splitlines()[0]


def test_another_error_of_cuda_is_a_failure() -> None:
    error = AcceleratorError("CUDA error: an illegal memory access was encountered")
    assert broken_by(error, Stage.LOAD).failure.type == "AcceleratorError"


def test_a_failure_keeps_the_stage_in_which_it_came() -> None:
    ladder = Ladder(Reader.SAME)
    with (
        pytest.raises(BrokenError) as caught,
        ladder.stage(Stage.RESAVE),
        ladder.stage(Stage.LOAD),
    ):
        raise ValueError
    assert caught.value.failure.stage is Stage.LOAD


def test_an_interrupt_is_nobodys_failure() -> None:
    with pytest.raises(KeyboardInterrupt), Ladder(Reader.SAME).stage(Stage.LOAD):
        raise KeyboardInterrupt


def test_file_sizes_are_relative_and_of_files_only(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"123")
    (tmp_path / "a").write_bytes(b"")
    assert file_sizes(tmp_path) == {"a": 0, "b/x": 3}
