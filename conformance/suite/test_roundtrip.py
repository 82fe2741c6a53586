"""The conformance suite: one item a case."""

from collections.abc import Callable

from conformance.case import Case


def test_comes_back_as_saved(case: Case, conformance: Callable[[Case], None]) -> None:
    """What comes back is what was saved, or the case ends as an expectation says."""
    conformance(case)
