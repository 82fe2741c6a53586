"""The benchmark's arithmetic and its parts; what it measures is nowhere asserted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.bench import suite
from conformance.case import default_cases
from conformance.errors import UsageError

pytestmark = pytest.mark.thorough

SECONDS = st.floats(0, 100)


@given(SECONDS, SECONDS, st.integers(1, 10_000))
def test_for_as_many_cases_as_there_are_it_is_what_was_measured(
    start: float, more: float, count: int
) -> None:
    assert suite._for(count, start + more, start, count) == pytest.approx(start + more)


@given(SECONDS, SECONDS)
def test_the_start_is_paid_once_however_few_the_cases(start: float, more: float) -> None:
    assert suite._for(1000, start + more, start, 4000) == pytest.approx(start + more / 4)


def test_the_floor_is_as_many_tests_with_as_many_markers() -> None:
    cases = default_cases()[:3]
    source = suite._plain(cases)
    assert [case.id for case in cases if case.id in source] == [case.id for case in cases]
    names: dict[str, list[object]] = {}
    exec(compile(source, "test_plain.py", "exec"), names)  # noqa: S102 - our own text
    parameters = names["CASES"]
    assert [len(each.marks) for each in parameters] == [6, 6, 6]  # type: ignore[attr-defined]


def test_collecting_nothing_is_an_error_and_no_figure() -> None:
    with pytest.raises(UsageError, match="failed"):
        suite._collect(("--pyargs", "conformance.suite", "-k", "no_such_case"))
