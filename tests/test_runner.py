"""Many engines at work: every case is answered once, groups stay whole, nothing outlives a run."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from conformance.case import Case, select
from conformance.roundtrip.outcome import Outcome
from conformance.runner import run_cases

CASES = select(["*-tiny.int8wo.*.cpu", "*-tiny.intx*.*.cpu"])
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))


@dataclass
class Note:
    """An engine that answers at once, and notes what it was given."""

    before: Callable[[Case], object]
    cases: list[Case] = field(default_factory=list)
    open: bool = True
    broken_off: bool = False

    def break_off(self) -> None:
        self.broken_off = True

    def __enter__(self) -> "Note":
        return self

    def __exit__(self, *raised: object) -> None:
        self.open = False

    def run(self, case: Case) -> Outcome:
        self.before(case)
        self.cases.append(case)
        return Outcome(case.id)


@dataclass
class Engines:
    """Stands in for `Engine`: makes notes that do something before every case."""

    before: Callable[[Case], object] = lambda _: None
    made: list[Note] = field(default_factory=list)

    def __call__(self, *_: object, **__: object) -> Note:
        self.made.append(Note(self.before))
        return self.made[-1]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Engines:
    stand_in = Engines()
    monkeypatch.setattr("conformance.runner.Engine", stand_in)
    return stand_in


def ids(cases: Iterable[Case]) -> list[str]:
    return [case.id for case in cases]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_case_is_answered_once(engines: Engines, workers: int) -> None:
    answered = [outcome.case for outcome in run_cases(CASES, workers, 60)]
    assert sorted(answered) == sorted(ids(CASES))
    assert sorted(ids(case for each in engines.made for case in each.cases)) == sorted(ids(CASES))


def test_one_worker_answers_in_order(engines: Engines) -> None:
    assert [outcome.case for outcome in run_cases(CASES, 1, 60)] == ids(CASES)
    assert len(engines.made) == 1


@pytest.mark.parametrize("workers", [2, 3])
def test_a_group_stays_on_one_engine_in_its_order(engines: Engines, workers: int) -> None:
    engines.before = lambda _: time.sleep(0.001)  # an engine that answers at once leaves nothing
    list(run_cases(CASES, workers, 60))
    for group in GROUPS:
        wanted = [case.id for case in CASES if case.group == group]
        given = [[case.id for case in each.cases if case.group == group] for each in engines.made]
        assert [part for part in given if part] == [wanted]


def test_two_workers_are_at_work_at_once(engines: Engines) -> None:
    first = {next(case.id for case in CASES if case.group == group) for group in GROUPS[:2]}
    both = threading.Barrier(2, timeout=30)
    engines.before = lambda case: case.id in first and both.wait()
    assert len(list(run_cases(CASES, 2, 60))) == len(CASES)


def test_no_cases_are_no_outcomes(engines: Engines) -> None:
    assert list(run_cases([], 2, 60)) == []
    assert not any(each.open for each in engines.made)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_error_of_one_engine_is_raised_and_ends_the_others(
    engines: Engines, workers: int
) -> None:
    def break_once(case: Case) -> None:
        if case is CASES[8]:
            raise ZeroDivisionError("in an engine")

    engines.before = break_once
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="in an engine"):
        list(run_cases(CASES, workers, 60))
    assert threading.active_count() == threads
    assert not any(each.open for each in engines.made)


def test_closing_early_stops(engines: Engines) -> None:
    engines.before = lambda _: time.sleep(0.02)
    threads = threading.active_count()
    with closing(run_cases(CASES, 2, 60)) as outcomes:
        next(outcomes)
    assert threading.active_count() == threads
    assert sum(len(each.cases) for each in engines.made) < len(CASES)
    assert not any(each.open for each in engines.made)
