"""Counts, causes and the exit code."""

from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st
from test_verdicts import CASE, finding_in, outcomes, raising, stopped
from test_verdicts import finding as make_finding

from conformance.judging.judge import Judgement, judge
from conformance.judging.summary import (
    ExitCode,
    Tally,
    causes_worst_first,
    exit_code,
    shared_axes,
    tally,
)
from conformance.judging.verdicts import Verdict, worst_to_best
from conformance.roundtrip.outcome import NoResultKind, Outcome, Stage

AXES = {
    "a": {"scheme": "int8", "format": "pickle", "device": "cpu"},
    "b": {"scheme": "int8", "format": "state-dict", "device": "cpu"},
    "c": {"scheme": "int4", "format": "pickle", "device": "cpu"},
}
PASS = judge(Outcome(CASE), [])
BROKEN = judge(raising(Stage.SAVE), [])
SKIPPED = judge(stopped(NoResultKind.SKIPPED), [])
KILLED = judge(stopped(NoResultKind.KILLED), [])
CORRUPT = judge(finding_in(make_finding()), [])


def as_case(judgement: Judgement, case: str) -> Judgement:
    return replace(judgement, case=case)


def test_verdicts_and_no_results_are_counted_apart() -> None:
    counts = tally([PASS, BROKEN, BROKEN, SKIPPED, KILLED])
    assert counts.verdicts[Verdict.SAVE_FAILED] == 2
    assert counts.no_results[NoResultKind.SKIPPED] == 1
    assert (counts.measured, counts.cases) == (3, 5)
    assert (counts.expected, counts.unexpected) == (2, 3)


def test_every_ending_is_named_worst_first() -> None:
    counts = tally([])
    assert tuple(counts.verdicts) == worst_to_best()
    assert tuple(counts.no_results) == tuple(NoResultKind)
    assert counts.cases == 0


def test_a_tally_comes_back_from_json() -> None:
    assert Tally.from_json(asdict(tally([PASS, KILLED]))) == tally([PASS, KILLED])


def test_causes_are_worst_first() -> None:
    groups = causes_worst_first([SKIPPED, BROKEN, PASS, CORRUPT], {})
    assert [str(group.cause.ending) for group in groups] == ["corrupt", "save-failed", "skipped"]


def test_cases_that_fail_alike_are_one_cause() -> None:
    (group,) = causes_worst_first([as_case(BROKEN, "b"), as_case(BROKEN, "a")], AXES)
    assert group.cases == ("a", "b")
    assert group.unexpected == 2


def test_the_same_exception_in_another_stage_is_another_cause() -> None:
    assert len(causes_worst_first([BROKEN, judge(raising(Stage.LOAD), [])], {})) == 2


def test_a_cause_shares_what_sets_its_cases_apart() -> None:
    judged = [as_case(BROKEN, "a"), as_case(BROKEN, "b"), as_case(PASS, "c")]
    (group,) = causes_worst_first(judged, AXES)
    assert group.shared == {"scheme": "int8"}


def test_shared_axes() -> None:
    assert shared_axes(["a", "c"], AXES) == {"device": "cpu", "format": "pickle"}
    assert shared_axes(["a", "b", "c"], AXES) == {"device": "cpu"}
    assert shared_axes(["a", "b"], AXES) == {"device": "cpu", "scheme": "int8"}


def test_an_unknown_case_shares_nothing() -> None:
    assert shared_axes(["a", "unknown"], AXES) == {}
    assert shared_axes([], AXES) == {}


def test_as_expected_is_zero() -> None:
    assert exit_code(tally([PASS, SKIPPED])) == 0


def test_anything_unexpected_is_one() -> None:
    assert exit_code(tally([PASS, BROKEN])) == 1
    assert exit_code(tally([PASS, KILLED])) == 1


def test_an_unused_expectation_is_one() -> None:
    assert exit_code(tally([PASS]), unused=["old-bug"]) is ExitCode.NOT_AS_EXPECTED


def test_nothing_measured_is_inconclusive() -> None:
    assert exit_code(tally([])) == 3
    assert exit_code(tally([SKIPPED, KILLED])) is ExitCode.INCONCLUSIVE


def test_a_partial_run_is_never_green() -> None:
    assert exit_code(tally([PASS]), complete=False) is ExitCode.INCONCLUSIVE
    assert exit_code(tally([PASS, BROKEN]), complete=False) is ExitCode.NOT_AS_EXPECTED


@given(st.lists(outcomes, max_size=5))
def test_no_case_is_lost_or_counted_twice(measured: list[Outcome]) -> None:
    judged = [judge(outcome, []) for outcome in measured]
    counts, groups = tally(judged), causes_worst_first(judged, {})
    assert counts.cases == counts.expected + counts.unexpected == len(judged)
    passes = counts.verdicts[Verdict.PASS]
    assert sum(len(group.cases) for group in groups) == len(judged) - passes
