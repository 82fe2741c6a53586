"""An excuse covers one failure, and an excuse too many is as wrong as one too few."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from test_verdicts import CASE, REFUSAL, finding, finding_in, outcomes, raising, stopped

from conformance.judging.excuses import Differs, Ends, Excuse, Raises
from conformance.judging.expectations import Expectation, Kind
from conformance.judging.judge import Judgement, judge, unused
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import (
    Failure,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
)

BROKEN = Raises(Stage.SAVE, "RuntimeError", re.compile("it broke"))
REFUSED = Raises(Stage.SAVE, "ValueError", re.compile("not supported"), ())
SCALE = Differs(Stage.BITS, "bits", re.compile("bits differ"), re.compile(".*/scale"))

patterns = st.sampled_from([re.compile("it broke"), re.compile("bits .*"), re.compile(".")])
stages = st.sampled_from(Stage)
readers = st.none() | st.sampled_from(Reader)
leftovers = st.none() | st.lists(st.sampled_from(["*", "[", "a"]), max_size=2).map(tuple)
excuses: st.SearchStrategy[Excuse] = st.one_of(
    st.builds(Raises, stages, st.just("RuntimeError"), patterns, leftovers, readers),
    st.builds(Differs, stages, st.just("bits"), patterns, st.none() | patterns, readers),
    st.builds(Ends, st.sampled_from(NoResultKind), st.none() | stages),
)
expectations = st.builds(
    Expectation,
    name=st.sampled_from(["one", "other"]),
    kind=st.sampled_from(Kind),
    cases=st.lists(st.sampled_from(["*", "toy.*", CASE, "[", "none"]), min_size=1).map(tuple),
    exceptions=st.lists(st.sampled_from(["toy.*", "none"]), max_size=1).map(tuple),
    excuse=excuses,
    reason=st.just("why"),
    versions=st.just(dict[str, SpecifierSet]()),
)


def expecting(
    excuse: Excuse, kind: Kind = Kind.KNOWN_BUG, name: str = "bug", *globs: str
) -> Expectation:
    return Expectation(name, kind, globs or ("toy.*",), (), excuse, "why", {})


def the_reason(judgement: Judgement) -> str:
    assert not judgement.as_expected
    (reason,) = judgement.reasons
    return reason


def test_a_pass_without_expectation_is_as_expected() -> None:
    judgement = judge(Outcome(CASE), [])
    assert judgement == Judgement(CASE, Verdict.PASS, None, None, True, (), (), None)


def test_a_failure_without_expectation_is_not() -> None:
    judgement = judge(raising(Stage.SAVE), [])
    assert (judgement.verdict, judgement.stage) == (Verdict.SAVE_FAILED, Stage.SAVE)
    assert the_reason(judgement) == (
        "not covered by an expectation: RuntimeError 'it broke' at save"
    )


def test_a_finding_without_expectation_is_not() -> None:
    assert "bits 'bits differ' in 'blocks.0.weight/scale' at bits" in the_reason(
        judge(finding_in(finding()), [])
    )


def test_a_failure_as_described_is_as_expected() -> None:
    judgement = judge(raising(Stage.SAVE), [expecting(BROKEN)])
    assert judgement.as_expected
    assert judgement.covered_by == ("bug",)


def test_findings_as_described_are_as_expected() -> None:
    assert judge(finding_in(finding(), finding()), [expecting(SCALE)]).as_expected


def test_an_expectation_of_another_case_excuses_nothing() -> None:
    elsewhere = expecting(BROKEN, Kind.KNOWN_BUG, "bug", "other.*")
    assert "not covered" in the_reason(judge(raising(Stage.SAVE), [elsewhere]))
    assert judge(Outcome(CASE), [elsewhere]).as_expected


def test_another_message_is_red_and_both_are_said() -> None:
    uncovered, unmet = judge(raising(Stage.SAVE, "RuntimeError", "no"), [expecting(BROKEN)]).reasons
    assert uncovered == "not covered by an expectation: RuntimeError 'no' at save"
    assert unmet == (
        "the expectation bug is not met: expected RuntimeError ~ 'it broke' at save, "
        "got RuntimeError 'no' at save (message differs)"
    )


def test_another_stage_and_type_are_red() -> None:
    _, unmet = judge(raising(Stage.LOAD, "ValueError"), [expecting(BROKEN)]).reasons
    assert unmet.endswith("(stage, type differ)")


def test_one_finding_too_many_is_red() -> None:
    more = finding(check="keys")
    reason = the_reason(judge(finding_in(finding(), more), [expecting(SCALE)]))
    assert reason.startswith("not covered by an expectation: keys")


def test_a_failure_beside_the_described_finding_is_red() -> None:
    outcome = finding_in(finding(), failure=Failure(Stage.RESAVE, "OSError", "full"))
    assert "OSError 'full' at resave" in the_reason(judge(outcome, [expecting(SCALE)]))


def test_each_failure_may_have_its_own_expectation() -> None:
    outcome = finding_in(finding(), failure=Failure(Stage.SAVE, "RuntimeError", "it broke"))
    declared = [expecting(SCALE, name="scale"), expecting(BROKEN, name="broken")]
    assert judge(outcome, declared).covered_by == ("scale", "broken")
    assert judge(outcome, declared).as_expected


def test_a_pass_under_an_expectation_is_obsolete() -> None:
    assert the_reason(judge(Outcome(CASE), [expecting(BROKEN)])) == (
        "obsolete: passes under the expectation bug; delete it or narrow its versions"
    )


def test_an_obsolete_expectation_names_the_boundary_to_move() -> None:
    bounded = replace(expecting(BROKEN), versions={"torchao": SpecifierSet("<0.19")})
    reason = the_reason(judge(Outcome(CASE), [bounded]))
    assert reason.endswith("narrow its versions (torchao<0.19)")


def test_an_expectation_that_covers_nothing_beside_one_that_does_is_red() -> None:
    later = Raises(Stage.RESAVE, "RuntimeError", re.compile("it broke"))
    declared = [expecting(later), expecting(SCALE, name="scale")]
    reason = the_reason(judge(raising(Stage.RESAVE), declared))
    assert reason.startswith("the expectation scale is not met")


def test_a_case_that_broke_before_says_nothing_about_a_later_finding() -> None:
    declared = [expecting(BROKEN), expecting(SCALE, name="scale")]
    judgement = judge(raising(Stage.SAVE), declared)
    assert (judgement.as_expected, judgement.covered_by) == (True, ("bug",))


def test_an_exception_is_none_of_the_expectations_cases() -> None:
    other = replace(expecting(BROKEN), exceptions=("*.pickle.*",))
    assert not other.about(CASE)
    assert replace(other, exceptions=("*.state-dict.*",)).about(CASE)


def test_the_nearest_event_is_compared() -> None:
    outcome = finding_in(finding(), failure=Failure(Stage.SAVE, "RuntimeError", "no"))
    reasons = judge(outcome, [expecting(BROKEN), expecting(SCALE, name="scale")]).reasons
    assert reasons[-1].endswith("got RuntimeError 'no' at save (message differs)")


def test_a_flaky_case_may_pass_or_fail_as_described() -> None:
    flaky = [expecting(BROKEN, Kind.FLAKY)]
    assert judge(Outcome(CASE), flaky).as_expected
    assert judge(raising(Stage.SAVE), flaky).as_expected


def test_a_flaky_case_may_not_fail_otherwise() -> None:
    assert not judge(raising(Stage.LOAD), [expecting(BROKEN, Kind.FLAKY)]).as_expected


def test_an_unsupported_case_must_refuse() -> None:
    unsupported = [expecting(REFUSED, Kind.UNSUPPORTED)]
    judgement = judge(raising(Stage.SAVE, "ValueError", REFUSAL), unsupported)
    assert judgement.as_expected
    assert judgement.verdict is Verdict.REFUSED


def test_a_refusal_that_leaves_files_is_red() -> None:
    outcome = raising(Stage.SAVE, "ValueError", REFUSAL, "config.json")
    reasons = judge(outcome, [expecting(REFUSED, Kind.UNSUPPORTED)]).reasons
    assert reasons[-1].endswith("leaving config.json (leftovers differs)")


def test_a_refusal_of_an_unclear_type_is_red_even_if_described() -> None:
    unsupported = expecting(BROKEN, Kind.UNSUPPORTED, "refuses")
    assert the_reason(judge(raising(Stage.SAVE), [unsupported])) == (
        "refuses says unsupported, which must end as refused; it ended as save-failed"
    )


def test_a_skipped_case_is_as_expected_and_no_pass() -> None:
    judgement = judge(stopped(NoResultKind.SKIPPED, "no CUDA"), [expecting(BROKEN)])
    assert judgement.as_expected
    assert (judgement.verdict, judgement.no_result) == (None, NoResultKind.SKIPPED)


def test_what_was_found_before_a_skip_still_wants_an_excuse() -> None:
    skipped = NoResult(NoResultKind.SKIPPED, "no fresh reader")
    outcome = Outcome(CASE, findings=(finding(Harm.ALTERED),), no_result=skipped)
    assert not judge(outcome, []).as_expected
    assert judge(outcome, [expecting(SCALE)]).as_expected


def test_every_other_end_without_result_is_red() -> None:
    for kind in set(NoResultKind) - {NoResultKind.SKIPPED}:
        assert f"not covered by an expectation: {kind}: 60 s" in the_reason(
            judge(stopped(kind), [])
        )


def test_what_was_found_before_the_end_wants_an_excuse_too() -> None:
    outcome = replace(stopped(NoResultKind.KILLED), findings=(finding(),))
    killed, scale = expecting(Ends(NoResultKind.KILLED)), expecting(SCALE, name="scale")
    assert "bits differ" in the_reason(judge(outcome, [killed]))
    assert "killed" in the_reason(judge(outcome, [scale]))
    assert judge(outcome, [killed, scale]).as_expected


def test_an_end_without_result_can_be_expected() -> None:
    killed = [expecting(Ends(NoResultKind.KILLED))]
    assert judge(stopped(NoResultKind.KILLED), killed).as_expected
    assert not judge(stopped(NoResultKind.TIMEOUT), killed).as_expected
    assert "obsolete" in the_reason(judge(Outcome(CASE), killed))


def test_without_a_result_no_expectation_is_obsolete() -> None:
    reason = the_reason(judge(stopped(NoResultKind.TIMEOUT), [expecting(BROKEN)]))
    assert reason.startswith("not covered by an expectation: timeout")


def test_an_expectation_about_no_measured_case_is_unused() -> None:
    declared = [expecting(BROKEN), expecting(BROKEN, Kind.FLAKY, "other", "other.*")]
    assert unused(declared, [judge(raising(Stage.SAVE), declared)]) == ("other",)


def test_a_case_without_result_puts_no_expectation_to_the_test() -> None:
    declared = [expecting(BROKEN)]
    assert unused(declared, [judge(stopped(NoResultKind.SKIPPED), declared)]) == ("bug",)
    assert unused(declared, []) == ("bug",)


def test_an_expected_end_without_result_is_a_use() -> None:
    declared = [expecting(Ends(NoResultKind.KILLED))]
    assert unused(declared, [judge(stopped(NoResultKind.KILLED), declared)]) == ()


@given(outcomes, st.lists(expectations, max_size=4))
def test_every_outcome_can_be_judged(outcome: Outcome, declared: list[Expectation]) -> None:
    judgement = judge(outcome, declared)
    assert judgement.as_expected == (not judgement.reasons)
    assert (judgement.verdict is None) != (judgement.no_result is None)
    assert all(len(reason.splitlines()) == 1 for reason in judgement.reasons)
    assert Judgement.from_json(judgement.to_json()) == judgement


@given(outcomes)
def test_without_expectations_only_passes_and_skips_are_as_expected(outcome: Outcome) -> None:
    judgement = judge(outcome, [])
    clean = not outcome.findings and outcome.failure is None
    fine = {None, NoResultKind.SKIPPED}
    assert judgement.as_expected == (clean and judgement.no_result in fine)
