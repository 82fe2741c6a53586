"""The documents say what the code does."""

from pathlib import Path

from conformance.judging.results import read_results
from conformance.report.check_pages import check_pages
from conformance.report.large import measured_tables

ROOT = Path(__file__).parents[1]


def test_the_pages_of_the_checks_are_those_of_their_docstrings() -> None:
    written = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert written == check_pages(), "python -m conformance.report.check_pages > docs/checks.md"


def test_the_tables_of_full_size_are_those_of_its_results() -> None:
    files = sorted((ROOT / "docs" / "results").glob("full-size-*.jsonl.xz"))
    assert files
    tables = measured_tables(map(read_results, files))
    page = (ROOT / "docs" / "full-size.md").read_text(encoding="utf-8")
    assert f"<!-- measured -->\n{tables}<!-- /measured -->" in page, "conformance plan --measured"
