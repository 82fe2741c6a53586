"""JUnit XML: valid, what is what, that it adds up, and texts that XML cannot hold."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_comparison import BREAKS, HUNG, NEW, PASS, SKIPPED, A, B, C, D, results
from test_run_markdown import declared, failing
from test_verdicts import outcomes
from xmlschema import XMLSchema

from conformance.judging.results import Results
from conformance.judging.summary import exit_code
from conformance.report.junit import junit, xml_text
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome

SCHEMA = XMLSchema(Path(__file__).parent / "expected" / "junit.xsd")
HARNESS = Outcome("", no_result=NoResult(NoResultKind.HARNESS_ERROR, "not deterministic"))
SCHEMES = {A: "int8", B: "int8", C: "int4", D: "int4"}


def parsed(run: Results) -> Element:
    told = junit(run, SCHEMES)
    SCHEMA.validate(told)
    return fromstring(told)


def ending(test: Element) -> str:
    return test[0].tag if len(test) else "pass"


def ended(root: Element) -> dict[str, str]:
    """What each test ended as: the tag of its element."""
    return {test.attrib["name"]: ending(test) for test in root.iter("testcase")}


def element_of(root: Element, case: str) -> Element:
    (test,) = (each for each in root.iter("testcase") if each.attrib["name"] == case)
    return test[0]


def test_a_test_ends_as_the_case_did() -> None:
    root = parsed(results({A: BREAKS, B: HARNESS, C: SKIPPED, D: PASS}, NEW))
    assert {case: ended(root)[case] for case in (A, B, C, D)} == {
        A: "failure",
        B: "error",
        C: "skipped",
        D: "pass",
    }
    assert [each.attrib["name"] for each in root] == ["the run", "int4", "int8"]


def test_a_failure_says_what_to_look_at() -> None:
    broken = element_of(parsed(results({A: BREAKS}, NEW)), A)
    assert broken.attrib == {
        "type": "load-failed",
        "message": """not covered by an expectation: KeyError "'scale'" at load""",
    }
    assert broken.text is not None
    assert broken.text.startswith("KeyError: 'scale'\n")
    assert broken.text.endswith(f"again: conformance run --select '{A}' --results again.jsonl")


def test_a_skipped_case_has_its_reason() -> None:
    assert element_of(parsed(results({A: SKIPPED}, NEW)), A).attrib == {"message": "needs CUDA"}


@pytest.mark.parametrize("outcome", [BREAKS, HUNG, HARNESS])
def test_what_is_declared_is_no_pass(outcome: Outcome) -> None:
    root = parsed(declared(results({A: outcome}, NEW)))
    assert ended(root)[A] == "skipped"


def test_a_declared_defect_names_its_expectation() -> None:
    root = parsed(declared(results({A: BREAKS}, NEW)))
    assert element_of(root, A).attrib == {
        "message": "declared by known: load-failed at load: KeyError: 'scale'"
    }


def test_a_timeout_that_is_not_declared_is_a_failure() -> None:
    assert ended(parsed(results({A: HUNG}, NEW)))[A] == "failure"


def test_a_case_of_another_suite_is_not_left_out() -> None:
    root = parsed(results({"other.case": PASS}, NEW))
    assert "other.case" in ended(root)


def test_what_was_not_run_is_an_error() -> None:
    root = parsed(results({A: PASS}, NEW, planned=3))
    assert element_of(root, "every planned case was run").attrib["message"] == (
        "2 cases were not run"
    )


def test_nothing_measured_is_an_error() -> None:
    root = parsed(results({A: SKIPPED}, NEW))
    assert ended(root)["a case was measured"] == "error"


def test_an_unused_expectation_is_a_failure() -> None:
    run = results({A: PASS}, NEW)
    run = replace(run, footer=replace(run.footer, unused=("old-bug",)))
    assert element_of(parsed(run), "every expectation was put to the test").tag == "failure"


def run_of(measured: list[Outcome], planned: int) -> Results:
    return results({each.case: each for each in measured}, NEW, len(measured) + planned)


runs = st.builds(
    run_of, st.lists(outcomes, max_size=5, unique_by=lambda each: each.case), st.integers(0, 2)
)


@given(runs)
def test_any_run_is_valid_and_adds_up(run: Results) -> None:
    root = parsed(run)
    for suite in root:
        tags = Counter(map(ending, suite.iter("testcase")))
        assert int(suite.attrib["tests"]) == sum(tags.values())
        for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[plural]) == tags[tag]
    assert sum(int(each.attrib["tests"]) for each in root) == len(run.cases) + 3


@given(runs)
def test_it_is_red_when_the_run_is(run: Results) -> None:
    red = {"failure", "error"} & set(map(ending, parsed(run).iter("testcase")))
    code = exit_code(run.tally, run.footer.unused, complete=run.footer.complete)
    assert bool(red) == (code != 0)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a\x00b", "a\\x00b"),
        ("\ud800", "\\ud800"),
        ("\ufffe\uffff", "\\ufffe\\uffff"),
        ("\x0b\x1f\x7f\x85", "\\x0b\\x1f\x7f\x85"),
        ("<&>\"'é\U0001f600\t\n", "<&>\"'é\U0001f600\t\n"),
    ],
)
def test_what_xml_cannot_hold_is_shown(text: str, held: str) -> None:
    assert xml_text(text) == held


@given(st.text())
def test_any_message_can_be_read_back(text: str) -> None:
    root = parsed(results({A: failing(text)}, NEW))
    assert element_of(root, A).tag == "failure"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (' type="load-failed"', ""),
        ('tests="1"', ""),
        ("<system-out />", ""),
        ('timestamp="2026-01-01T00:00:00"', 'timestamp="2026-01-01T00:00:00+00:00"'),
        ("<failure", "<skipped/><failure"),
    ],
)
def test_the_schema_refuses_what_is_wrong(was: str, now: str) -> None:
    told = junit(results({A: BREAKS}, NEW), SCHEMES)
    assert was in told
    assert not SCHEMA.is_valid(told.replace(was, now))
