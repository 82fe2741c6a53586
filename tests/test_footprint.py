"""Time and memory of the parts of a large case, measured in the process that works on it."""

import mmap
import time
from pathlib import Path

import pytest
import torch

from conformance.roundtrip.footprint import Footprint, mapped_since, read_since, size_of

BIG = 200 * 2**20


def test_memory_that_is_allocated_is_anonymous() -> None:
    footprint = Footprint()
    with footprint.part("before"):
        pass
    with footprint.part("part"):
        held = bytearray(BIG)
        held[::4096] = b"x" * len(held[::4096])
        del held
    measured = footprint.measures
    assert measured["part.anonymous_bytes"] >= measured["before.anonymous_bytes"]
    assert measured["part.peak_bytes"] >= measured["before.peak_bytes"] + 0.9 * BIG


def test_pages_of_a_file_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(BIG))
    footprint = Footprint()
    with footprint.part("before"):
        pass
    with footprint.part("part"), path.open("rb") as file:
        grown = mapped_since()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            assert view[::4096].count(0) == BIG // 4096
            assert grown() >= 0.9 * BIG
            time.sleep(0.1)
    measured = footprint.measures
    assert measured["part.mapped_bytes"] >= measured["before.mapped_bytes"] + 0.9 * BIG


def test_a_part_that_is_gone_through_twice_adds_seconds_and_keeps_the_larger_peak() -> None:
    footprint = Footprint()
    with footprint.part("part"):
        time.sleep(0.05)
    first = dict(footprint.measures)
    with footprint.part("part"):
        time.sleep(0.05)
    assert footprint.measures["part.seconds"] >= first["part.seconds"] + 0.05
    assert footprint.measures["part.peak_bytes"] >= first["part.peak_bytes"]


def test_a_part_that_breaks_is_not_measured_and_its_error_passes() -> None:
    footprint = Footprint()
    with pytest.raises(ValueError, match=r"^broken$"), footprint.part("part"):
        raise ValueError("broken")
    assert footprint.measures == {}


def test_whoever_looks_on_is_told_of_the_bytes_and_never_of_more_than_all() -> None:
    told: list[tuple[str, int, int]] = []
    footprint = Footprint(lambda *now: told.append(now))
    with footprint.part("part", 100, lambda: 170):
        time.sleep(0.8)
    assert told
    assert set(told) == {("part", 100, 100)}


def test_files_are_sized_and_reads_counted(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(24))
    assert size_of(tmp_path) == 1024
    read = read_since()
    (tmp_path / "inner" / "a").read_bytes()
    assert read() >= 1000


def test_a_gpu_that_is_in_use_is_waited_for_and_its_peak_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: done.append("forget"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 42)
    footprint = Footprint()
    with footprint.part("part"):
        done.append("work")
    assert done == ["wait", "forget", "work", "wait"]
    assert footprint.measures["part.gpu_bytes"] == 42


def test_where_no_gpu_is_in_use_nothing_is_told_of_one() -> None:
    footprint = Footprint()
    with footprint.part("part"):
        pass
    assert "part.gpu_bytes" not in footprint.measures
