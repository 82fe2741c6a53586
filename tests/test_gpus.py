"""Engines take turns at the GPUs that there are. CUDA itself: not run."""

import os
from collections import Counter
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_engine import CASE, requests

from conformance.plugin import turn_of
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.gpus import VISIBLE, at_turn, of_turn, visible
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome
from conformance.roundtrip.worker import answer
from conformance.runner import run_cases

NAMES = st.lists(st.text(min_size=1), unique=True, max_size=9)


@given(NAMES, st.integers(1, 40))
def test_turns_are_dealt_out_evenly(names: list[str], engines: int) -> None:
    dealt = [of_turn(names, turn) for turn in range(engines)]
    if len(names) < 2:
        assert set(dealt) == {None}
        return
    counts = Counter(dealt)
    assert counts.keys() <= set(names)
    assert max(counts.values()) - min(counts[name] for name in names) <= 1


@pytest.mark.parametrize(
    ("given_names", "seen"), [("2,5", ["2", "5"]), (" GPU-ab , ,1", ["GPU-ab", "1"]), ("", [])]
)
def test_those_that_the_user_left_are_taken(
    given_names: str, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, given_names)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert visible() == seen


def test_without_a_choice_of_the_user_torch_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert visible() == ["0", "1", "2"]


@pytest.mark.parametrize(("before", "after"), [("4,6,7", "7"), ("4", "4"), ("", "")])
def test_a_process_sees_one_of_them(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, before)
    seen: list[tuple[str, ...]] = []
    at_turn(5, lambda *given: seen.append((os.environ[VISIBLE], *given)), "its", "arguments")
    assert seen == [(after, "its", "arguments")]


def test_where_torch_cannot_count_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("no driver")

    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", fail)
    seen: list[str | None] = []
    at_turn(1, lambda: seen.append(os.environ.get(VISIBLE)))
    assert seen == [None]


@pytest.mark.parametrize("kind", [NoResultKind.OUT_OF_MEMORY, NoResultKind.SKIPPED])
def test_where_memory_ran_out_a_worker_keeps_none_of_the_gpu_s(
    kind: NoResultKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process of an engine and other engines work on the same GPU."""
    said: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: said.append("given back"))
    outcome = Outcome(CASE.id, no_result=NoResult(kind, "CUDA out of memory"))
    connection: Any = SimpleNamespace(send=lambda message: said.append(type(message).__name__))
    answer(connection, CASE.id, lambda _: outcome)
    given_back = kind is NoResultKind.OUT_OF_MEMORY
    assert said == ["given back"] * given_back + ["dict"]


def telling(connection: Connection, _: str) -> None:
    """Tell which GPU this process sees; with two to choose from, whatever the machine has."""
    for case_id, _target in requests(connection):
        gpu = float(os.environ.get(VISIBLE, "-1"))
        connection.send(Outcome(case_id, measures={"gpu": gpu}).to_json())


@pytest.mark.thorough
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_both_processes_of_an_engine_see_the_same_one(
    turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.roundtrip.engine.at_turn", with_two)
    with Engine(writer=telling, reader=telling, turn=turn) as engine:
        outcome = engine.run(CASE)
    assert outcome.measures["gpu"] == turn % 2


def with_two(turn: int, *work: object) -> None:
    os.environ[VISIBLE] = "0,1"
    at_turn(turn, *work)  # type: ignore[arg-type]


def test_each_engine_of_a_run_has_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []

    class Told:
        def __init__(self, *_: object, turn: int, **__: object) -> None:
            turns.append(turn)
            raise ZeroDivisionError

    monkeypatch.setattr("conformance.runner.Engine", Told)
    with pytest.raises(ZeroDivisionError):
        list(run_cases([CASE], 3, 60))
    assert sorted(turns) == [0, 1, 2]


@pytest.mark.parametrize(
    ("told", "turn"),
    [
        ({}, 0),
        ({"workerinput": {"workerid": "gw0"}}, 0),
        ({"workerinput": {"workerid": "gw11"}}, 11),
    ],
)
def test_each_worker_of_xdist_has_a_turn_of_its_own(told: dict[str, Any], turn: int) -> None:
    config: Any = SimpleNamespace(**told)
    assert turn_of(config) == turn
