"""How far a large case is, as the pytest face says it: past what is captured, on every worker."""

from pathlib import Path

import pytest
from stand_in import TELLS
from test_plugin import INT8, suite

pytestmark = pytest.mark.thorough

CASE = f"{INT8}.pickle.cpu"


@pytest.mark.parametrize("more", [(), ("-s",), ("-n", "1")], ids=["alone", "uncaptured", "xdist"])
def test_pytest_says_how_far_a_large_case_is(tmp_path: Path, more: tuple[str, ...]) -> None:
    ran = suite(tmp_path, "--select", CASE, *more, **{TELLS: "pickle"})
    assert ran.returncode == 0, ran.stdout
    where = ran.stderr if "-n" in more else ran.stdout
    # The second telling comes at once, and is kept for later.
    assert [line for line in where.splitlines() if line.startswith(CASE)] == [f"{CASE}: save, 0 s"]


def test_a_case_that_is_not_large_has_no_line(tmp_path: Path) -> None:
    ran = suite(tmp_path, "--select", CASE)
    assert CASE not in ran.stdout + ran.stderr
