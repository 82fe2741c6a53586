"""One run: outcomes are judged as they arrive and written down at once."""

from pathlib import Path

import pytest
from test_judge import BROKEN, expecting
from test_verdicts import raising

from conformance.case import Case, all_cases, default_cases, select
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation, Kind
from conformance.judging.results import Selection, read_results
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import Failure, NoResult, NoResultKind, Outcome, Stage
from conformance.session import Session, axes_of, current_expectations, open_results

CASES = tuple(select(["flux-tiny.int8wo.quantize_.pickle*.cpu"]))
FIRST, SECOND = CASES
FAILURE = Failure(Stage.SAVE, "RuntimeError", "it broke")
MINE = f"""
[[expectation]]
name = "mine"
kind = "known-bug"
cases = ["{FIRST.id}"]
stage = "save"
raises = "RuntimeError"
match = "it broke"
reason = "A test's bug."
issue = "https://example.org/1"
versions = {{ torchao = "VERSIONS" }}
"""


def bug(name: str, glob: str) -> Expectation:
    return expecting(BROKEN, Kind.KNOWN_BUG, name, glob)


def session(*expectations: Expectation, cases: tuple[Case, ...] = CASES) -> Session:
    return Session(cases, expectations)


def break_off(run: Session, error: type[BaseException]) -> None:
    """Run the first case, then let something happen."""
    with run:
        run.add(Outcome(FIRST.id))
        raise error


def test_an_outcome_is_judged_by_the_expectations() -> None:
    run = session(bug("bug", FIRST.id))
    assert run.add(Outcome(FIRST.id, failure=FAILURE)).covered_by == ("bug",)
    assert run.add(Outcome(SECOND.id, failure=FAILURE)).as_expected is False
    assert (run.tally.expected, run.tally.unexpected) == (1, 1)


def test_a_run_is_complete_when_every_planned_case_has_ended() -> None:
    run = session()
    run.add(Outcome(FIRST.id))
    assert not run.complete
    run.add(Outcome(SECOND.id))
    assert run.complete


@pytest.mark.thorough
def test_causes_say_what_their_cases_share() -> None:
    run = session(cases=tuple(default_cases()))
    run.add(Outcome(FIRST.id, failure=FAILURE))
    run.add(Outcome("toy", failure=raising(Stage.LOAD).failure))
    load, save = run.causes
    assert (load.cause.ending, load.shared) == (Verdict.LOAD_FAILED, {})
    assert save.shared == {
        "device": "cpu",
        "format": "pickle",
        "route": "quantize_",
        "scheme": "int8wo",
        "subject": "flux-tiny",
    }


def test_axes_are_the_segments_of_the_id() -> None:
    for case, axes in axes_of(all_cases().values()).items():
        order = ("subject", "scheme", "route", "format", "device")
        assert ".".join(axes[name] for name in order) == case


def test_after_a_full_run_what_was_not_tested_is_unused() -> None:
    run = session(bug("used", FIRST.id), bug("unused", SECOND.id))
    run.add(Outcome(FIRST.id, failure=FAILURE))
    run.add(Outcome(SECOND.id, no_result=NoResult(NoResultKind.SKIPPED, "no kernel")))
    assert run.unused(CASES) == ("unused",)


def test_an_expectation_about_other_cases_is_not_unused() -> None:
    run = session(bug("cuda", "*.cuda"), bug("small", "flux-small.*"))
    for case in CASES:
        run.add(Outcome(case.id))
    assert run.unused(CASES) == ()


def test_a_partial_run_calls_nothing_unused() -> None:
    run = session(bug("second", SECOND.id))
    run.add(Outcome(FIRST.id))
    assert run.unused(CASES) == ()


def test_each_outcome_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Session(CASES, (), open_results(path, 2, Selection(("*",)))) as run:
        run.add(Outcome(FIRST.id))
        assert path.read_text().count('"line": "case"') == 1
        run.add(Outcome(SECOND.id))
    results = read_results(path)
    assert list(results.cases) == [FIRST.id, SECOND.id]
    assert results.header.selection == Selection(("*",))
    assert results.header.versions["torchao"]
    assert results.footer.complete


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_run_that_is_broken_off_keeps_what_it_has(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "results.jsonl"
    with pytest.raises(error):
        break_off(Session(CASES, (), open_results(path, 1, Selection())), error)
    results = read_results(path)
    assert list(results.cases) == [FIRST.id]
    assert not results.footer.complete


def test_a_session_without_a_results_file_can_be_left() -> None:
    run = session()
    with pytest.raises(KeyboardInterrupt):
        break_off(run, KeyboardInterrupt)
    assert len(run.judgements) == 1


def test_a_results_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write the results to .*nowhere"):
        open_results(tmp_path / "nowhere" / "r.jsonl", 1, Selection())


@pytest.mark.thorough
@pytest.mark.parametrize(("versions", "holds"), [(">=0.7", True), ("<0.7", False)])
def test_further_expectations_hold_for_their_versions(
    tmp_path: Path, versions: str, holds: bool
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(MINE.replace("VERSIONS", versions))
    own = [each.name for each in current_expectations()]
    assert own
    assert [each.name for each in current_expectations([mine])] == [*own, *(["mine"] * holds)]
