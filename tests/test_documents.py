"""The documents say what the code does."""

import json
from pathlib import Path

from conformance.axes import registry
from conformance.bench import shown
from conformance.bench.benched import BENCHED
from conformance.bench.model import Bench
from conformance.case import all_cases
from conformance.judging.results import read_results
from conformance.report import pictures
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


def test_the_page_of_pictures_is_that_of_its_results() -> None:
    kept = read_results(ROOT / pictures.KEPT)
    asked = {name for name, case in all_cases().items() if case.subject.pipeline is not None}
    assert kept.cases.keys() == {name for name in asked if name.endswith(".cpu")}
    written = (ROOT / pictures.PAGE).read_text(encoding="utf-8")
    assert written == pictures.page(kept, registry.schemes().values())


def between(name: str, page: str) -> str:
    """What stands between two marks in a document."""
    return page.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]


def test_the_tables_of_the_benchmark_of_pipelines_are_those_of_its_results() -> None:
    page = (ROOT / "docs" / "bench-model.md").read_text(encoding="utf-8")
    files = sorted((ROOT / "docs" / "results").glob("bench-model-*.json"))
    assert [each.stem for each in files] == [
        "bench-model-cogvideox-small",
        "bench-model-flux-small",
    ]
    for file in files:
        bench = Bench.from_json(json.loads(file.read_text(encoding="utf-8")))
        assert between(file.stem, page) == shown.markdown(bench)
        assert (ROOT / "docs" / "assets" / f"{file.stem}.svg").is_file()


def test_what_others_published_of_pipelines_is_what_the_benchmark_sets_beside_its_rows() -> None:
    page = (ROOT / "docs" / "bench-model.md").read_text(encoding="utf-8")
    benched = BENCHED["flux-schnell"]
    rows = [f"| {name} | {p.seconds} | {p.gigabytes} |" for name, p in benched.published.items()]
    head = ["| scheme | published s | published GB |", "|---|---:|---:|"]
    assert between("bench-model-published", page).splitlines() == [*head, *rows]
    assert f"({benched.published_on})" in page
