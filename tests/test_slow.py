"""Longer tests are left out by default, never in silence, and run when they are asked for."""

from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text(encoding="utf-8")
TESTS = """
import pytest

def test_fast():
    pass

@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_slow(number):
    pass

@pytest.mark.thorough
def test_thorough():
    pass
"""
SAID = "*4 longer tests were left out; `pytest -n auto -m 'thorough or slow'` runs them*"


@pytest.fixture
def theirs(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_theirs=TESTS)
    return pytester


def test_by_default_they_are_left_out_and_it_says_so(theirs: pytest.Pytester) -> None:
    ran = theirs.runpytest_inprocess()
    ran.assert_outcomes(passed=1, deselected=4)
    ran.stdout.fnmatch_lines([SAID])


@pytest.mark.slow
def test_under_xdist_it_says_so_once(theirs: pytest.Pytester) -> None:
    ran = theirs.runpytest_subprocess("-n", "2")
    ran.assert_outcomes(passed=1)
    assert ran.stdout.str().count("longer tests were left out") == 1
    ran.stdout.fnmatch_lines([SAID])


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        (("-m", "slow"), {"passed": 3, "deselected": 2}),
        (("-m", "thorough"), {"passed": 1, "deselected": 4}),
        (("-m", "thorough or slow"), {"passed": 4, "deselected": 1}),
        (("-m", "not slow"), {"passed": 2, "deselected": 3}),
        (("test_theirs.py::test_slow",), {"passed": 3}),
        (("test_theirs.py::test_thorough",), {"passed": 1}),
        (("test_theirs.py::test_slow[1]",), {"passed": 1}),
    ],
)
def test_whoever_asks_gets_what_is_asked_for(
    theirs: pytest.Pytester, arguments: tuple[str, ...], outcomes: dict[str, int]
) -> None:
    ran = theirs.runpytest_inprocess(*arguments)
    ran.assert_outcomes(**outcomes)
    assert "left out" not in ran.stdout.str()


def test_whoever_names_a_file_gets_all_of_it_but_what_takes_minutes(
    theirs: pytest.Pytester,
) -> None:
    ran = theirs.runpytest_inprocess("test_theirs.py")
    ran.assert_outcomes(passed=2, deselected=3)
    ran.stdout.fnmatch_lines(["*3 longer tests were left out;*"])


def test_a_keyword_that_finds_only_long_ones_says_how_to_run_them(theirs: pytest.Pytester) -> None:
    ran = theirs.runpytest_inprocess("-k", "test_slow or test_thorough")
    assert ran.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    ran.stdout.fnmatch_lines([SAID])


def test_own_tests_of_full_size_are_left_out_until_they_are_asked_for(
    theirs: pytest.Pytester,
) -> None:
    large = "import pytest\n\n@pytest.mark.full\ndef test_large():\n    pass\n"
    (theirs.mkdir("tests") / "test_large.py").write_text(large)
    (theirs.mkdir("suite") / "test_cases.py").write_text(large)
    theirs.runpytest_inprocess("tests").assert_outcomes(deselected=1)
    theirs.runpytest_inprocess("tests", "-m", "not slow").assert_outcomes(deselected=1)
    theirs.runpytest_inprocess("tests", "-m", "full").assert_outcomes(passed=1)
    theirs.runpytest_inprocess("suite").assert_outcomes(passed=1)
