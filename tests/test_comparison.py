"""Two runs side by side: every case once, what blocks, what is accepted, what it all comes to."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdicts import finding, outcomes

from conformance.errors import UsageError
from conformance.judging.accept import Acceptance
from conformance.judging.compare import Change
from conformance.judging.comparison import Comparison, Decision, Row, Side, compare
from conformance.judging.judge import judge
from conformance.judging.results import Footer, Header, Result, Results, Selection
from conformance.judging.summary import tally
from conformance.report.comparison import headline, report, self_check_headline, to_json
from conformance.report.text import to_text
from conformance.roundtrip.outcome import (
    Failure,
    NoResult,
    NoResultKind,
    Outcome,
    Stage,
)

OLD, NEW = {"torch": "2.13.0", "torchao": "0.17.0"}, {"torch": "2.13.0", "torchao": "0.18.0"}
TODAY = date(2026, 3, 1)
AXES: dict[str, Mapping[str, str]] = {
    f"toy.{scheme}.{form}.cpu": {"scheme": scheme, "format": form, "device": "cpu"}
    for scheme in ("int8", "int4")
    for form in ("pickle", "state-dict")
}
A, B, C, D = AXES
PASS = Outcome("")
BREAKS = Outcome("", failure=Failure(Stage.LOAD, "KeyError", "'scale'"))
BREAKS_WORSE = Outcome("", findings=(finding(),))
SKIPPED = Outcome("", no_result=NoResult(NoResultKind.SKIPPED, "needs CUDA"))
HUNG = Outcome("", no_result=NoResult(NoResultKind.TIMEOUT, "60 s", Stage.LOAD))


def results(
    cases: Mapping[str, Outcome], versions: Mapping[str, str], planned: int | None = None
) -> Results:
    named = {case: replace(outcome, case=case) for case, outcome in cases.items()}
    held = {case: Result(outcome, judge(outcome, [])) for case, outcome in named.items()}
    count = len(held) if planned is None else planned
    header = Header(versions, {"gpu": "none"}, Selection(), count, "2026-01-01T00:00:00+00:00")
    counts = tally(each.judgement for each in held.values())
    footer = Footer(counts, (), len(held) == count, "2026-01-01T00:00:01+00:00")
    return Results(header, held, footer)


def compared(
    before: Mapping[str, Outcome],
    after: Mapping[str, Outcome],
    *accepted: Acceptance,
    retry: Mapping[str, Outcome] | None = None,
) -> Comparison:
    retries = () if retry is None else (results(retry, NEW),)
    sides = Side(results(before, OLD)), Side(results(after, NEW), retries)
    return compare(*sides, AXES, accepted, TODAY)


def acceptance(
    changes: Iterable[Change] = (Change.REGRESSED,),
    cause: str = "KeyError",
    until: date | None = None,
    cases: str = "*",
) -> Acceptance:
    reviewed = date(2026, 1, 1)
    return Acceptance(
        "seen",
        (cases,),
        tuple(changes),
        re.compile(cause),
        "It is.",
        "A. Reviewer",
        reviewed,
        until,
    )


ALL_PASS = dict.fromkeys(AXES, PASS)
MIXED = compared({A: PASS, B: PASS, C: PASS, D: BREAKS}, {A: BREAKS, B: BREAKS, C: HUNG, D: PASS})


def test_the_headline_of_a_blocked_upgrade() -> None:
    assert headline(MIXED) == (
        "Do not upgrade torchao 0.17.0 -> 0.18.0: 1 cause breaks 2 of 4 cases; 1 fixed; 1 lost."
    )
    assert MIXED.decision.exit_code == 1


def test_the_headline_of_a_compatible_upgrade() -> None:
    found = compared({**ALL_PASS, A: BREAKS, B: SKIPPED}, {**ALL_PASS, B: SKIPPED})
    assert headline(found) == (
        "torchao 0.17.0 -> 0.18.0 is compatible: none of 4 cases breaks; 1 fixed; "
        "1 measured on neither side; 2 same."
    )
    assert found.decision.exit_code == 0


def test_lost_coverage_alone_blocks() -> None:
    found = compared(ALL_PASS, {**ALL_PASS, A: SKIPPED})
    assert headline(found) == (
        "Do not upgrade torchao 0.17.0 -> 0.18.0: none of 4 cases breaks; 1 lost; 3 same."
    )


def test_a_case_that_is_gone_from_a_whole_run_is_lost() -> None:
    found = compared(ALL_PASS, {case: PASS for case in AXES if case != A})
    assert [row.case for row in found.lost] == [A]
    assert found.decision is Decision.BLOCKED
    assert "absent" in to_text(report(found))


def test_causes_are_grouped_with_the_axes_they_share() -> None:
    (group,) = MIXED.causes(MIXED.broken)
    assert group.cases == (A, B)
    assert group.shared == {"scheme": "int8"}
    assert "all int8" in to_text(report(MIXED))


def test_every_break_is_in_the_report() -> None:
    shown = to_text(report(MIXED))
    assert re.search(rf"{re.escape(A)} +regressed +pass +load-failed", shown)
    assert re.search(rf"{re.escape(C)} +lost +pass +timeout", shown)
    assert "KeyError" in shown


def test_a_retry_that_does_not_break_is_flaky_and_no_block() -> None:
    found = compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, retry={A: PASS})
    assert found.decision is Decision.COMPATIBLE
    assert [row.case for row in found.flaky] == [A]
    assert "none of 4 cases breaks; 1 flaky; 3 same" in headline(found)
    assert "load-failed, then pass" in to_text(report(found))


def test_a_retry_that_breaks_otherwise_still_blocks() -> None:
    found = compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, retry={A: BREAKS_WORSE})
    assert [row.case for row in found.broken] == [A]
    assert found.decision is Decision.BLOCKED
    assert "load-failed, then corrupt" in to_text(report(found))
    again = compared({A: PASS}, {A: BREAKS}, retry={A: BREAKS})
    assert "load-failed (2 times)" in to_text(report(again))


def test_a_retry_that_breaks_where_the_run_did_not_is_flaky() -> None:
    found = compared(ALL_PASS, ALL_PASS, retry={A: BREAKS})
    assert [row.label for row in found.rows] == ["flaky", "same", "same", "same"]


def test_a_retry_is_of_the_same_versions_and_of_known_cases() -> None:
    run = results({A: PASS}, NEW)
    with pytest.raises(UsageError, match="must have the versions of the run"):
        Side(run, (results({A: PASS}, OLD),))
    with pytest.raises(UsageError, match=f"the retry of {B} is of a case that was not run"):
        Side(run, (results({B: PASS}, NEW),))


def test_an_accepted_break_is_told_and_does_not_block() -> None:
    found = compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, acceptance())
    assert found.decision is Decision.COMPATIBLE
    assert "none of 4 cases breaks; 1 accepted; 3 same" in headline(found)
    assert re.search(rf"{re.escape(A)} +regressed .* seen", to_text(report(found)))


@pytest.mark.parametrize(
    "given",
    [
        acceptance(cause="ValueError"),
        acceptance(changes=[Change.LOST]),
        acceptance(cases="other.*"),
    ],
)
def test_an_exception_covers_one_thing_and_is_red_when_unused(given: Acceptance) -> None:
    found = compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, given)
    assert [row.case for row in found.broken] == [A]
    assert "the exception seen accepts nothing" in headline(found)


def test_an_unused_exception_alone_is_red() -> None:
    found = compared(ALL_PASS, ALL_PASS, acceptance())
    assert found.decision is Decision.BLOCKED
    assert headline(found) == (
        "Do not upgrade torchao 0.17.0 -> 0.18.0: the exception seen accepts nothing; "
        "delete it or mend its globs and cause; none of 4 cases breaks; 4 same."
    )


def test_an_exception_holds_to_its_last_day() -> None:
    after = {**ALL_PASS, A: BREAKS}
    assert compared(ALL_PASS, after, acceptance(until=TODAY)).decision is Decision.COMPATIBLE
    ran_out = compared(ALL_PASS, after, acceptance(until=date(2026, 2, 28)))
    assert ran_out.decision is Decision.BLOCKED
    assert len(ran_out.broken) == 1
    assert "the exception seen ran out on 2026-02-28" in headline(ran_out)


def test_an_exception_must_cover_every_attempt() -> None:
    after = {**ALL_PASS, A: BREAKS}
    found = compared(ALL_PASS, after, acceptance(), retry={A: BREAKS_WORSE})
    assert [row.case for row in found.broken] == [A]


def test_a_lost_case_can_be_accepted_by_what_it_ended_with() -> None:
    given = acceptance([Change.LOST], "absent|timeout")
    after = {case: PASS for case in AXES if case not in (A, B)}
    found = compared(ALL_PASS, {**after, B: HUNG}, given)
    assert found.counts["accepted"] == 2


def test_other_suite_versions_are_inconclusive() -> None:
    before, after = results(ALL_PASS, OLD), results({**ALL_PASS, A: BREAKS}, NEW)
    after = replace(after, header=replace(after.header, suite="9.0"))
    found = compare(Side(before), Side(after), AXES)
    assert found.decision.exit_code == 3
    assert headline(found).startswith(
        "Inconclusive on torchao 0.17.0 -> 0.18.0: the suite versions differ: "
    )


def test_nothing_measured_on_both_sides_is_inconclusive() -> None:
    found = compared({A: SKIPPED, B: PASS}, {A: PASS, B: SKIPPED})
    assert found.decision is Decision.INCONCLUSIVE
    assert "no case was measured on both sides" in headline(found)


@pytest.mark.parametrize("side", [0, 1])
def test_a_partial_run_is_inconclusive(side: int) -> None:
    runs = [results(ALL_PASS, OLD), results(ALL_PASS, NEW)]
    versions = runs[side].header.versions
    runs[side] = results({B: PASS}, versions, planned=4)
    found = compare(Side(runs[0]), Side(runs[1]), AXES, [acceptance()], TODAY)
    assert found.decision is Decision.INCONCLUSIVE
    assert f"the run {('before', 'after')[side]} is partial: 1 of 4 cases" in headline(found)
    assert found.red_exceptions == ()


@pytest.mark.parametrize("after", [BREAKS, HUNG])
def test_a_break_in_a_partial_run_blocks_all_the_same(after: Outcome) -> None:
    runs = results(ALL_PASS, OLD), results({A: PASS, B: after}, NEW, planned=4)
    assert compare(Side(runs[0]), Side(runs[1]), AXES).decision is Decision.BLOCKED


def test_other_selections_lose_nothing() -> None:
    before, after = results(ALL_PASS, OLD), results({A: PASS}, NEW)
    asked = replace(after.header, selection=Selection((A,)))
    found = compare(Side(before), Side(replace(after, header=asked)), AXES)
    assert found.decision is Decision.INCONCLUSIVE
    assert "asked for other cases" in headline(found)


def test_a_run_against_itself_tells_what_is_flaky() -> None:
    once, again = results(ALL_PASS, NEW), results({**ALL_PASS, A: BREAKS, B: HUNG}, NEW)
    steady, flaky = (compare(Side(once), Side(each), AXES) for each in (once, again))
    assert self_check_headline(steady) == (
        "torchao 0.18.0, torch 2.13.0 against itself: none of 4 cases is flaky; 4 same."
    )
    assert steady.steadiness is Decision.COMPATIBLE
    assert "2 of 4 cases are flaky; 2 same" in self_check_headline(flaky)
    assert flaky.steadiness is Decision.BLOCKED


def test_a_case_that_is_fixed_is_flaky_when_nothing_was_upgraded() -> None:
    runs = results({**ALL_PASS, A: BREAKS}, NEW), results(ALL_PASS, NEW)
    found = compare(Side(runs[0]), Side(runs[1]), AXES)
    assert (found.decision, found.steadiness) == (Decision.COMPATIBLE, Decision.BLOCKED)


def test_other_machines_are_told() -> None:
    before, after = results(ALL_PASS, OLD), results(ALL_PASS, NEW)
    after = replace(after, header=replace(after.header, hardware={"gpu": "H100"}))
    found = compare(Side(before), Side(after), AXES)
    assert "not one machine: gpu none -> H100" in to_text(report(found))


def test_many_versions_are_named_the_main_ones_first() -> None:
    versions = dict.fromkeys(("accelerate", "numpy", "torch", "torchao"), "1")
    found = compare(
        Side(results(ALL_PASS, versions)), Side(results(ALL_PASS, {"torchao": "2"})), AXES
    )
    step = "torchao 1 -> 2, torch 1 -> none, accelerate 1 -> none and 1 more"
    assert headline(found).startswith(f"{step} is compatible")
    assert "numpy 1 -> none" in to_text(report(found))


runs = st.dictionaries(st.sampled_from([*AXES, "toy.unknown"]), outcomes, max_size=5)


@given(runs, runs, runs)
def test_every_case_is_counted_once(
    before: dict[str, Outcome], after: dict[str, Outcome], again: dict[str, Outcome]
) -> None:
    retry = {case: outcome for case, outcome in again.items() if case in after}
    found = compared(before, after, acceptance(Change, ""), retry=retry)
    assert sorted(row.case for row in found.rows) == sorted({*before, *after})
    assert sum(found.counts.values()) == len(found.rows)
    blocked = [row for row in found.rows if row.blocks]
    assert sorted([*found.broken, *found.lost], key=_id) == sorted(blocked, key=_id)
    assert sum(found.counts[each] for each in Change if each.blocks) == len(blocked)
    grouped = [case for group in found.causes(found.broken) for case in group.cases]
    assert sorted(grouped) == sorted(row.case for row in found.broken)


@given(runs, runs)
def test_the_numbers_of_a_headline_add_up(
    before: dict[str, Outcome], after: dict[str, Outcome]
) -> None:
    found = compared(before, after)
    told = headline(found).rpartition(" of ")
    broken = re.search(r"(\d+|none)$", told[0])
    total, *others = re.findall(r"\d+", told[2])
    assert broken is not None
    first = 0 if broken[0] == "none" else int(broken[0])
    assert first + sum(map(int, others)) == int(total) == len(found.rows)


@given(runs)
def test_a_run_equals_itself(cases: dict[str, Outcome]) -> None:
    found = compare(Side(results(cases, NEW)), Side(results(cases, NEW)), AXES)
    assert found.differing == ()
    assert {row.change for row in found.rows} <= {Change.SAME, Change.UNKNOWN}
    measured = sum(outcome.no_result is None for outcome in cases.values())
    assert found.counts[Change.SAME] == measured


def _id(row: Row) -> str:
    return row.case


def test_runs_of_the_same_versions_say_so() -> None:
    found = compare(Side(results(ALL_PASS, NEW)), Side(results(ALL_PASS, NEW)), AXES)
    assert headline(found).startswith("torchao 0.18.0 -> 0.18.0 is compatible: ")
    assert "no version differs" in to_text(report(found))


def test_what_is_broken_otherwise_than_before_is_told_with_its_cause() -> None:
    found = compared({**ALL_PASS, A: BREAKS_WORSE}, {**ALL_PASS, A: BREAKS})
    told = to_text(report(found)).partition("Still broken")[2]
    assert "KeyError" in told
    assert re.search(rf"{re.escape(A)} +improved +corrupt +load-failed", told)


def test_json_tells_everything() -> None:
    told = json.loads(json.dumps(to_json(MIXED)))
    assert told["decision"] == "blocked"
    assert told["headline"] == headline(MIXED)
    assert told["versions"] == {"torchao": ["0.17.0", "0.18.0"]}
    assert sum(told["counts"].values()) == told["cases"] == 4
    assert [row["label"] for row in told["rows"]] == ["regressed", "regressed", "lost", "fixed"]
    assert told["rows"][0]["after"][0]["cause"]["name"] == "KeyError"
