"""The documents say what the code does."""

from pathlib import Path

from conformance.report.check_pages import check_pages

ROOT = Path(__file__).parents[1]


def test_the_pages_of_the_checks_are_those_of_their_docstrings() -> None:
    written = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert written == check_pages(), "python -m conformance.report.check_pages > docs/checks.md"
