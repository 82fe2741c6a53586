"""Two readers give one outcome, in which what both saw is told once."""

from dataclasses import replace

import pytest

from conformance.roundtrip.merge import in_order, merge, worth_reading
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
    Step,
)

BITS = Finding("bits", Stage.BITS, Harm.CORRUPT, "a/scale", "bits differ", "00", "01")
KEYS = Finding("keys", Stage.STRUCTURE, Harm.CORRUPT, "a", "key is missing", "parameter", "nothing")
LOAD = Failure(Stage.LOAD, "ValueError", "no such key", "here")
KILLED = NoResult(NoResultKind.KILLED, "SIGSEGV", Stage.LOAD)


def same(**facts: object) -> Outcome:
    return replace(Outcome("case"), **facts)  # type: ignore[arg-type]


def fresh(*findings: Finding, **facts: object) -> Outcome:
    seen = tuple(replace(each, reader=Reader.FRESH) for each in findings)
    return same(findings=seen, **facts)


def test_what_both_saw_is_told_once() -> None:
    merged = merge(same(findings=(BITS,)), fresh(BITS))
    assert merged.findings == (replace(BITS, reader=Reader.BOTH),)


def test_what_one_saw_keeps_its_name() -> None:
    merged = merge(same(findings=(BITS,)), fresh(KEYS))
    assert merged.findings == (replace(KEYS, reader=Reader.FRESH), BITS)


def test_findings_that_differ_in_what_was_got_are_two() -> None:
    other = replace(BITS, got="02")
    merged = merge(same(findings=(BITS,)), fresh(other))
    assert set(merged.findings) == {BITS, replace(other, reader=Reader.FRESH)}


def test_findings_are_in_the_order_of_the_ladder() -> None:
    second = replace(BITS, path="b/scale")
    assert in_order([second, BITS, KEYS]) == [KEYS, BITS, second]


def test_a_failure_of_both_is_told_once() -> None:
    merged = merge(same(failure=LOAD), same(failure=replace(LOAD, reader=Reader.FRESH)))
    assert merged.failure == replace(LOAD, reader=Reader.BOTH)


@pytest.mark.parametrize("reader", [Reader.SAME, Reader.FRESH])
def test_a_failure_of_one_is_kept(reader: Reader) -> None:
    failed, well = same(failure=replace(LOAD, reader=reader)), same()
    merged = merge(failed, well) if reader is Reader.SAME else merge(well, failed)
    assert merged.failure == replace(LOAD, reader=reader)


def test_of_two_failures_the_fresh_one_is_told_with_both_traces() -> None:
    other = Failure(Stage.STRUCTURE, "KeyError", "scale", "there", Reader.FRESH)
    merged = merge(same(failure=LOAD), same(failure=other)).failure
    assert merged is not None
    assert (merged.type, merged.reader) == ("KeyError", Reader.FRESH)
    assert "there" in merged.traceback
    assert "here" in merged.traceback


def test_steps_and_measures_of_both_are_kept() -> None:
    left = same(steps=(Step(Stage.SAVE, 1.0),), measures={"sqnr_db": 40.0, "tensors": 3.0})
    right = same(steps=(Step(Stage.LOAD, 2.0, Reader.FRESH),), measures={"sqnr_db": 41.0})
    merged = merge(left, right)
    assert [step.stage for step in merged.steps] == [Stage.SAVE, Stage.LOAD]
    assert merged.measures == {"sqnr_db": 40.0, "tensors": 3.0}


def test_a_reader_that_died_leaves_the_case_without_result() -> None:
    merged = merge(same(findings=(BITS,)), same(no_result=KILLED))
    assert merged.no_result == KILLED
    assert merged.findings == (BITS,)


@pytest.mark.parametrize("stage", [Stage.LOAD, Stage.STRUCTURE, Stage.OUTPUT])
def test_a_checkpoint_that_one_cannot_read_is_read_again(stage: Stage) -> None:
    assert worth_reading(same(failure=replace(LOAD, stage=stage)))
    assert worth_reading(same())


@pytest.mark.parametrize("stage", [Stage.QUANTIZE, Stage.SAVE, Stage.INSPECT])
def test_there_is_nothing_to_read_without_a_checkpoint(stage: Stage) -> None:
    assert not worth_reading(same(failure=replace(LOAD, stage=stage)))
    assert not worth_reading(same(no_result=KILLED))
