"""What a large case will need, asked of one whose config is wrong: the others are planned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.axes import models
from conformance.case import Case, find
from conformance.errors import UsageError
from conformance.roundtrip import planning
from conformance.roundtrip.planning import Planned, Rates, planned

CASE = find("cogvideox-5b.int8wo.quantize_.pickle.cpu")


def configured(**other: Any) -> Case:
    config = {**models.model_config(CASE.subject), **other}
    return replace(CASE, subject=replace(CASE.subject, config=config))


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Rates(write=1e9, read=1e9, copy=1e9, quantize=1e9, forward=1e9, plain=1e9)
    monkeypatch.setattr(planning, "rates", lambda *_: rates)


def unplanned(reason: str) -> Planned:
    return Planned(CASE.id, 0, 0, 0, 0.0, reason)


@pytest.mark.usefixtures("speed")
def test_a_config_that_gives_no_model_does_not_end_the_plan(tmp_path: Path) -> None:
    cases = (configured(attention_head_dim=-64), configured(), CASE)
    wrong, right, same = (planned(each, tmp_path) for each in cases)
    said = "RuntimeError: Trying to create tensor with negative dimension -3072: [-3072, 16, 2, 2]"
    assert wrong == unplanned(said)
    assert right.payload == same.payload > 5e9
    assert right.seconds == same.seconds > planning.STARTING


def test_why_nothing_is_known_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: Exception

    def raises(_: Case) -> None:
        raise raised

    monkeypatch.setattr(planning, "budget", raises)
    raised = UsageError("cogvideox-5b has no model config: add it")
    assert planned(CASE, tmp_path) == unplanned("cogvideox-5b has no model config: add it")
    raised = ValueError("not this\nnor that")
    assert planned(CASE, tmp_path) == unplanned("ValueError: not this")


def test_what_takes_too_long_to_quantize_is_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "rates", None)
    slow = replace(CASE, scheme=replace(CASE.scheme, seconds=1.0))
    assert planned(slow, tmp_path).reason.endswith(" minutes of one core")
