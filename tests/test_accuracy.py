"""The accuracy check: too far from the unquantized model, or not far enough."""

import math
from dataclasses import replace

import pytest

from conformance.case import find
from conformance.roundtrip.checks.accuracy import CHECK
from conformance.roundtrip.evidence import Evidence
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.record import Output, Record

CASE = find("flux-tiny.int8wo.quantize_.pickle.cpu")
RECORD = Record(CASE.id, 0, ModelFacts({}, ()), None, {}, 0, {}, None, Output("", "", ()))


def found(sqnr: float | None, floor: float | None, deeper: float = 0.0) -> list[tuple[str, str]]:
    subject = replace(CASE.subject, deeper=deeper)
    case = replace(CASE, subject=subject, scheme=replace(CASE.scheme, sqnr=floor))
    findings = CHECK.findings(Evidence(case, RECORD, sqnr=sqnr))
    return [(each.what, each.got) for each in findings]


@pytest.mark.parametrize(
    ("sqnr", "floor"), [(20.0, 20.0), (99.0, 20.0), (-3.0, None), (None, 20.0), (None, None)]
)
def test_what_reaches_its_floor_or_has_none_is_no_finding(
    sqnr: float | None, floor: float | None
) -> None:
    assert found(sqnr, floor) == []


def test_what_is_under_its_floor_is_a_finding() -> None:
    assert found(19.9, 20.0) == [("SQNR is below the floor", "19.9 dB")]


def test_the_floor_of_a_deep_model_is_lower_by_what_was_measured_and_by_no_more() -> None:
    assert found(17.0, 20.0, deeper=3.0) == []
    assert found(16.9, 20.0, deeper=3.0) == [("SQNR is below the floor", "16.9 dB")]
    assert found(16.9, None, deeper=3.0) == []


@pytest.mark.parametrize("floor", [20.0, None])
def test_equal_and_not_finite_outputs_are_findings_with_and_without_a_floor(
    floor: float | None,
) -> None:
    assert found(math.inf, floor) == [("equals the unquantized model", "none")]
    assert found(-math.inf, floor) == [("output is not finite", "inf or nan")]
