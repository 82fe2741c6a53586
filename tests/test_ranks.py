"""Processes that are forked and joined: what they raise is told, and none of them stays."""

import os
import signal
import time
from pathlib import Path

import pytest

from conformance.axes.ranks import RankError, in_processes, on_ranks


def test_every_process_does_its_work(tmp_path: Path) -> None:
    in_processes(3, lambda number: (tmp_path / str(number)).write_text("done"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0", "1", "2"]


def test_what_a_process_raises_comes_with_its_type_and_message() -> None:
    def work(number: int) -> None:
        if number == 1:
            raise NotImplementedError("no split")

    with pytest.raises(RankError, match=r"^no split$") as raised:
        in_processes(2, work)
    assert type(raised.value).__name__ == "NotImplementedError"
    assert "raise NotImplementedError" in str(raised.value.__cause__)


def test_a_process_that_raises_no_exception_is_told_too() -> None:
    def work(_number: int) -> None:
        raise KeyboardInterrupt("here")

    with pytest.raises(RankError, match=r"^here$"):
        in_processes(1, work)


def test_a_process_that_dies_is_told() -> None:
    def work(_number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RankError, match=rf"^a process ended with -{signal.SIGKILL.value}$"):
        in_processes(1, work)


def test_the_others_end_when_one_fails(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / str(number)).write_text(str(os.getpid()))
        if number == 0:
            while not (tmp_path / "1").exists():
                time.sleep(0.01)
            raise ValueError("I fail")
        time.sleep(60)

    with pytest.raises(RankError, match=r"^I fail$"):
        in_processes(2, work)
    for each in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(each.read_text()), 0)


def test_processes_that_wait_are_given_up() -> None:
    with pytest.raises(RankError, match=r"^2 processes were still at work when the time was over$"):
        in_processes(2, lambda _: time.sleep(60), timeout=0.2)


def test_ranks_reach_each_other(tmp_path: Path) -> None:
    import torch
    import torch.distributed as dist

    def work(rank: int) -> None:
        sum_ = torch.tensor([10.0 + rank])
        dist.all_reduce(sum_)
        (tmp_path / str(rank)).write_text(f"{sum_.item()} of {dist.get_world_size()}")

    on_ranks(2, work)
    assert {each.read_text() for each in tmp_path.iterdir()} == {"21.0 of 2"}
