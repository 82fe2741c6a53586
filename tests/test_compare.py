"""The policy of an upgrade: one case for each change, and what holds for every two results."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdicts import CASE, finding, finding_in, outcomes, raising, stopped

from conformance.judging.compare import Change, change
from conformance.judging.judge import judge
from conformance.judging.results import Result
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import Harm, NoResultKind, Outcome, Stage


def result(outcome: Outcome) -> Result:
    return Result(outcome, judge(outcome, []))


PASS = result(Outcome(CASE))
STORAGE_PASS = result(Outcome(CASE, storage_only="needs CUDA"))
ALTERED = result(finding_in(finding(Harm.ALTERED)))
LOADS_NOT = result(raising(Stage.LOAD, "KeyError", "'scale'"))
LOADS_NOT_OTHERWISE = result(raising(Stage.LOAD, "KeyError", "'zero_point'"))
CORRUPT = result(finding_in(finding()))
OTHER_OUTPUT = result(finding_in(finding(stage=Stage.OUTPUT, check="output")))
SKIPPED = result(stopped(NoResultKind.SKIPPED, "needs CUDA"))
HUNG = result(stopped(NoResultKind.TIMEOUT))

EACH = [
    (PASS, PASS, Change.SAME),
    (CORRUPT, CORRUPT, Change.SAME),
    (LOADS_NOT, PASS, Change.FIXED),
    (CORRUPT, LOADS_NOT, Change.IMPROVED),
    (LOADS_NOT, LOADS_NOT_OTHERWISE, Change.CHANGED),
    (LOADS_NOT, CORRUPT, Change.WORSENED),
    (ALTERED, LOADS_NOT, Change.WORSENED),
    (PASS, ALTERED, Change.REGRESSED),
    (SKIPPED, CORRUPT, Change.ADDED),
    (None, PASS, Change.ADDED),
    (CORRUPT, HUNG, Change.LOST),
    (PASS, SKIPPED, Change.LOST),
    (PASS, None, Change.LOST),
    (SKIPPED, SKIPPED, Change.UNKNOWN),
    (HUNG, None, Change.UNKNOWN),
    (None, None, Change.UNKNOWN),
]
sides = st.none() | outcomes.map(result)


@pytest.mark.parametrize(("before", "after", "wanted"), EACH)
def test_each_change(before: Result | None, after: Result | None, wanted: Change) -> None:
    assert change(before, after) is wanted


def test_every_change_has_a_case() -> None:
    assert {wanted for _, _, wanted in EACH} == set(Change)


def test_the_vocabulary_is_the_design_s() -> None:
    words = "same fixed improved changed worsened regressed added lost unknown"
    assert list(Change) == words.split()


def test_what_blocks() -> None:
    assert {each for each in Change if each.blocks} == {"regressed", "worsened", "lost"}


def test_mirrors_come_in_pairs() -> None:
    assert all(each.mirror.mirror is each for each in Change)
    still = {each for each in Change if each.mirror is each}
    assert still == {"same", "changed", "unknown"}


@given(sides, sides)
def test_a_swap_gives_the_mirror(before: Result | None, after: Result | None) -> None:
    assert change(after, before) is change(before, after).mirror


@given(outcomes)
def test_nothing_changes_against_itself(outcome: Outcome) -> None:
    wanted = Change.UNKNOWN if outcome.no_result else Change.SAME
    assert change(result(outcome), result(outcome)) is wanted


@given(outcomes.map(result), outcomes.map(result))
def test_what_blocks_is_worse_or_unmeasured(before: Result, after: Result) -> None:
    """A pass after is red only where its output is judged no longer; no harm is green."""
    was, now = before.judgement.verdict, after.judgement.verdict
    if was is not None and (now is None or now.harm > was.harm):
        assert change(before, after).blocks or _output_is_new(before, after)
    if now is Verdict.PASS and change(before, after).blocks:
        assert after.outcome.storage_only
        assert not before.outcome.storage_only


def _output_is_new(before: Result, after: Result) -> bool:
    return bool(before.outcome.storage_only) and not after.outcome.storage_only


def test_messages_that_differ_in_addresses_are_the_same() -> None:
    before = raising(Stage.LOAD, "OSError", "/tmp/a/x.bin at 0x7f01 has 3 bytes")
    after = raising(Stage.LOAD, "OSError", "/tmp/b/x.bin at 0x8e12 has 4 bytes")
    assert change(result(before), result(after)) is Change.SAME


def test_what_was_expected_does_not_count() -> None:
    declared = replace(LOADS_NOT.judgement, as_expected=True, reasons=(), covered_by=("known",))
    assert change(LOADS_NOT, Result(LOADS_NOT.outcome, declared)) is Change.SAME


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (PASS, STORAGE_PASS, Change.LOST),
        (OTHER_OUTPUT, STORAGE_PASS, Change.LOST),
        (STORAGE_PASS, STORAGE_PASS, Change.SAME),
        (LOADS_NOT, STORAGE_PASS, Change.FIXED),
        (CORRUPT, STORAGE_PASS, Change.FIXED),
    ],
)
def test_an_output_that_is_judged_no_longer_is_lost(
    before: Result, after: Result, wanted: Change
) -> None:
    assert change(before, after) is wanted
    assert change(after, before) is wanted.mirror


def test_a_failure_before_the_output_loses_none() -> None:
    storage = result(replace(LOADS_NOT.outcome, storage_only="needs CUDA"))
    assert change(LOADS_NOT, storage) is Change.SAME
