"""The floors of a machine: asked of the device that the case is on. CUDA itself: not run."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_streamed import PICKLE

from conformance.axes.base import Device
from conformance.roundtrip import floors, planning, run
from conformance.roundtrip.ladder import Ladder
from conformance.roundtrip.outcome import Reader

pytestmark = pytest.mark.thorough


@pytest.fixture
def quantized(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Stand for `quantize_`; hold where the weights lay that it was given."""
    seen: list[tuple[str, Any]] = []

    def quantize_(linear: Any, config: Any) -> None:
        seen.append((linear.weight.device.type, config))

    monkeypatch.setattr("torchao.quantization.quantize_", quantize_)
    return seen


def test_quantize_is_timed_where_the_case_quantizes(quantized: list[tuple[str, Any]]) -> None:
    assert floors.quantizing("its config", "meta") > 0
    assert quantized == [("meta", "its config")] * 2


def test_what_cannot_be_timed_has_no_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quantize_(*_: object) -> None:
        raise RuntimeError("original_tensor.device= cpu is not supported! Only CUDA tensors")

    monkeypatch.setattr("torchao.quantization.quantize_", quantize_)
    rates = floors.measure(tmp_path, 1000, "its config", "cpu")
    assert rates.keys() == {"floor.write", "floor.read", "floor.copy"}


@pytest.mark.parametrize("device", [Device.CUDA, Device.CUDA_TO_CPU])
def test_the_writer_s_device_is_asked(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def how_far(_: object, device: Device) -> tuple[None, str]:
        asked.append(device)
        return None, ""

    monkeypatch.setattr(run, "require_device", asked.append)
    monkeypatch.setattr(run, "require_room", lambda _need, _where, device: asked.append(device))
    monkeypatch.setattr(run, "how_far", how_far)
    monkeypatch.setattr(run, "require_time", lambda _: None)
    monkeypatch.setattr(floors, "measure", lambda *given: {given[3]: 1.0})
    log = run.Log(replace(PICKLE, device=device), Ladder(Reader.SAME))
    shop: Any = SimpleNamespace(directory=tmp_path)
    assert run._floors(log, shop) == {"cuda": 1.0}
    assert asked == [Device.CUDA] * 3


def test_a_gpu_is_waited_for_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("waited"))
    floors.seconds(lambda: done.append("work"))
    assert done == ["waited", "work", "waited"]


def test_a_plan_calls_the_unquantized_linear_where_the_case_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def linear(device: str, _count: int) -> Any:
        asked.append(device)
        return None, lambda: None

    monkeypatch.setattr(planning, "SAMPLE", 1000)
    monkeypatch.setattr(planning, "_linear", linear)
    planning._general.cache_clear()
    planning._general(tmp_path, 3, "cuda")
    assert asked == ["cuda"]
    planning._general.cache_clear()
