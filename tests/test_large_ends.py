"""How large cases end that cannot be measured: in a line, and the next case runs."""

import errno
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_streamed import LOADED, PICKLE, STATE, opened, round_trip

from conformance.axes import models
from conformance.case import Case
from conformance.roundtrip import budget, floors, gpus, streamed, write
from conformance.roundtrip.disk import require_space
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome, Stage
from conformance.roundtrip.run import verify_again, write_and_verify
from conformance.roundtrip.workshop import Workshop

pytestmark = pytest.mark.thorough


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    yield from opened(tmp_path / "workshop")


def end_of(outcome: Outcome) -> NoResult:
    assert isinstance(outcome.no_result, NoResult), outcome.failure
    return outcome.no_result


# A model config that is wrong.


def configured(case: Case, **other: Any) -> Case:
    config = {**models.model_config(case.subject), **other}
    return replace(case, subject=replace(case.subject, config=config))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"axes_dims_rope": [16, 8, 8]}, "RuntimeError: Attempting to broadcast a dimension of"),
        ({"attention_head_dim": 33}, "RuntimeError: shape '[1, 6, 3, -1, 2]' is invalid"),
    ],
)
def test_a_model_that_cannot_be_called_is_no_verdict_against_a_library(
    wrong: dict[str, Any], said: str, shop: Workshop, tmp_path: Path
) -> None:
    outcome = write_and_verify(configured(PICKLE, **wrong), shop, tmp_path, lambda _: None)
    ended = end_of(outcome)
    assert (ended.kind, ended.stage) == (NoResultKind.HARNESS_ERROR, Stage.BUILD)
    assert ended.reason.startswith(f"the model of this config cannot be called: {said}")
    assert ended.reason.count("\n") == 0
    assert outcome.failure is None


def test_a_model_that_only_real_numbers_can_call_is_built() -> None:
    def asks(**_: Any) -> Any:
        return torch.empty(1, device="meta").item()

    def copies(**_: Any) -> Any:
        return torch.empty(1, device="meta").to("cpu")

    def breaks(**_: Any) -> Any:
        raise ValueError("no such block\nand more")

    for each in (asks, copies):
        each.device = torch.device("meta")  # type: ignore[attr-defined]
        streamed.require_callable(each, {})
    breaks.device = torch.device("meta")  # type: ignore[attr-defined]
    with pytest.raises(HarnessError, match=r"called: ValueError: no such block$"):
        streamed.require_callable(breaks, {})


# A disk that is full.

FULL = OSError(errno.ENOSPC, "No space left on device")


def half_a_file(path: Path, *_: Any) -> None:
    path.write_bytes(bytes(1000))
    raise FULL


def test_a_disk_that_is_full_of_unquantized_weights_ends_the_case_in_a_line(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "write_drawn", half_a_file)
    end = end_of(write_and_verify(LOADED, shop, tmp_path / "one", lambda _: None))
    assert (end.kind, end.stage) == (NoResultKind.SKIPPED, Stage.BUILD)
    assert end.reason.count("\n") == 0
    assert "No space left on device" in end.reason
    assert not list(shop.directory.rglob(streamed.WEIGHTS))


def full_save(_model: Any, directory: Path, _limit: int) -> None:
    half_a_file(directory / "half")


def test_a_disk_that_a_large_case_filled_does_not_end_the_run(
    shop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    filling = replace(STATE, format=replace(STATE.format, save=full_save))
    outcome = write_and_verify(filling, shop, tmp_path / "one", lambda _: None)
    said = "No space left on device: OSError: [Errno 28] No space left on device"
    assert end_of(outcome) == NoResult(NoResultKind.SKIPPED, said, Stage.SAVE)
    assert require_space(outcome) is outcome
    assert round_trip(STATE, shop, tmp_path / "two", []).no_result is None


def test_so_does_one_that_our_own_record_filled(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(write, "_put_beside", full)
    outcome = write_and_verify(STATE, shop, tmp_path, lambda _: None)
    said = "OSError: [Errno 28] No space left on device"
    assert end_of(outcome) == NoResult(NoResultKind.SKIPPED, said, Stage.INSPECT)
    assert require_space(outcome) is outcome


def test_a_disk_that_cannot_be_read_while_it_is_timed_is_told_in_a_line(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "broken")

    said = NoResult(NoResultKind.HARNESS_ERROR, "OSError: [Errno 5] broken", Stage.INSPECT)
    assert round_trip(STATE, shop, tmp_path / "one", []).no_result is None
    monkeypatch.setattr(floors, "reading", broken)
    assert end_of(verify_again(STATE, tmp_path / "one", lambda _: None)) == said
    (tmp_path / "two").mkdir()
    assert end_of(write_and_verify(STATE, shop, tmp_path / "two", lambda _: None)) == said


# What does not fit.


def test_where_memory_runs_out_in_the_middle_the_next_case_runs(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[bool] = []
    a_gpu = SimpleNamespace(
        is_initialized=lambda: True,
        synchronize=lambda: None,
        reset_peak_memory_stats=lambda: None,
        max_memory_allocated=lambda: 0,
        empty_cache=lambda: given_back.append(True),
    )
    monkeypatch.setattr(gpus, "_cuda", lambda: a_gpu)

    def greedy(_model: Any, _directory: Path, _limit: int) -> None:
        torch.empty(2**50, dtype=torch.uint8)

    (tmp_path / "one").mkdir()
    ended = write_and_verify(
        replace(STATE, format=replace(STATE.format, save=greedy)),
        shop,
        tmp_path / "one",
        lambda _: None,
    )
    end = end_of(ended)
    assert (end.kind, end.stage) == (NoResultKind.OUT_OF_MEMORY, Stage.SAVE)
    assert end.reason.count("\n") == 0
    assert shop._product is not None
    assert shop._product[1].model is None
    assert given_back  # the fresh process must find the memory of a GPU free
    assert round_trip(STATE, shop, tmp_path / "two", []).no_result is None


@pytest.mark.parametrize(
    ("memory", "disk", "said"),
    [
        (0, 2**40, r"^needs 0\.6 GiB of memory, 0\.0 GiB are available$"),
        (2**40, 0, r"^needs 0\.0 GiB of disk, 0\.0 GiB are free$"),
        (0, 0, r"^needs 0\.6 GiB of memory, .* and 0\.0 GiB of disk, "),
    ],
)
def test_what_does_not_fit_has_no_result_and_nothing_is_built(
    memory: int, disk: int, said: str, shop: Workshop, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(budget, "free", lambda *_: {"memory": memory, "disk": disk})
    monkeypatch.setattr("conformance.roundtrip.workshop.StreamedBase", None)
    outcome = write_and_verify(PICKLE, shop, tmp_path, lambda _: None)
    end = end_of(outcome)
    assert (end.kind, end.stage) == (NoResultKind.SKIPPED, Stage.RESOLVE)
    assert re.search(said, end.reason)
    assert list(tmp_path.glob("checkpoint*")) == []


def test_what_takes_too_long_to_quantize_is_not_even_timed(
    shop: Workshop, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("conformance.roundtrip.run.floors.measure", None)
    slow = replace(PICKLE, scheme=replace(PICKLE.scheme, seconds=100.0))
    outcome = write_and_verify(slow, shop, tmp_path, lambda _: None)
    end = end_of(outcome)
    assert end.kind is NoResultKind.SKIPPED
    assert "minutes of one core" in end.reason
