"""How far a large case is: every long part tells the bytes that it has gone through."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_streamed import LOADED, STATE, opened, round_trip

from conformance.roundtrip import streamed
from conformance.roundtrip.calls import calling, observed
from conformance.roundtrip.footprint import Footprint
from conformance.roundtrip.ladder import Ladder
from conformance.roundtrip.observe import observe
from conformance.roundtrip.outcome import Progress, Reader, Stage
from conformance.roundtrip.streamed import write_drawn
from conformance.roundtrip.workshop import Workshop

pytestmark = pytest.mark.thorough


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    yield from opened(tmp_path / "workshop")


def test_what_writing_the_unquantized_weights_cost_is_told_and_measured(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any) -> None:
        write_drawn(*given)
        time.sleep(0.8)

    monkeypatch.setattr(streamed, "write_drawn", slowly)
    told: list[Progress] = []
    footprint = Footprint(lambda *now: told.append(Progress(*now)))
    ladder = Ladder(Reader.SAME, footprint=footprint)
    shop.product(LOADED, ladder)
    total = 2 * LOADED.subject.parameters
    assert Progress("bf16", total, total) in told
    assert footprint.measures["bf16.seconds"] > 0.8
    assert [step.stage for step in ladder.steps].count(Stage.BUILD) == 2


def test_progress_is_told_with_parts_and_bytes(shop: Workshop, tmp_path: Path) -> None:
    told: list[Any] = []
    slow = replace(STATE, format=replace(STATE.format, save=slow_save))
    round_trip(slow, shop, tmp_path / "large", told)
    saving = [each for each in told if isinstance(each, Progress) and each.part == "save"]
    assert saving
    assert all(0 <= each.done <= each.total for each in saving)
    assert saving[-1].done > 0


def test_how_far_a_forward_pass_is_is_told_in_weights() -> None:
    told: list[Progress] = []
    footprint = Footprint(lambda *now: told.append(Progress(*now)))
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with calling(Ladder(Reader.SAME, footprint=footprint), "forward", model):
        model(torch.ones(4))
        time.sleep(0.8)
    assert set(told) == {Progress("forward", 2 * (32 + 16), 2 * (32 + 16))}


def test_how_far_a_digest_is_is_told_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*given: Any) -> Any:
        facts = observe(*given)
        time.sleep(0.8)
        return facts

    monkeypatch.setattr("conformance.roundtrip.calls.observe", slowly)
    told: list[Progress] = []
    footprint = Footprint(lambda *now: told.append(Progress(*now)))
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    model.register_buffer("table", torch.ones(3), persistent=False)
    facts = observed(model, Ladder(Reader.SAME, footprint=footprint))
    total = sum(each.bytes for each in facts.tensors.values())
    assert total == 4 * (40 + 18 + 3)
    assert set(told) == {Progress("digest", total, total)}


def test_how_far_loading_is_is_told_in_bytes(shop: Workshop, tmp_path: Path) -> None:
    def slow_load(*given: Any) -> Any:
        got = STATE.format.load(*given)
        time.sleep(0.8)
        return got

    told: list[Any] = []
    slow = replace(STATE, format=replace(STATE.format, load=slow_load))
    outcome = round_trip(slow, shop, tmp_path / "large", told)
    loading = [each for each in told if isinstance(each, Progress) and each.part == "load"]
    payload = outcome.measures["payload_bytes"]
    assert {each.total for each in loading} == {payload}
    assert loading[-1].done > 0.9 * payload


def test_what_is_no_large_case_is_called_without_a_count() -> None:
    model = torch.nn.Linear(4, 8)
    with calling(Ladder(Reader.SAME), "forward", model):
        assert not torch.nn.modules.module._global_forward_hooks


def slow_save(model: Any, directory: Path, limit: int) -> None:
    STATE.format.save(model, directory, limit)
    time.sleep(1.5)
