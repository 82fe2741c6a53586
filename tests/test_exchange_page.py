"""docs/exchange.md says what the committed results of exchanges say."""

from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.judging.exchange import Exchanged, counts
from conformance.judging.exchange_results import ExchangeResults, read_exchange
from conformance.report.exchange_page import PAGE, ROOT, filled, in_words, kept, main, tables
from conformance.report.matrix import LETTERS

NAMES = [path.name.removesuffix(".jsonl.xz") for path in ROOT.glob("docs/results/exchange-*.xz")]
RESULTS = {
    name.removeprefix("exchange-"): read_exchange(ROOT / "docs" / "results" / f"{name}.jsonl.xz")
    for name in NAMES
}


@pytest.fixture(params=RESULTS.items(), ids=list(RESULTS))
def exchange(request: pytest.FixtureRequest) -> tuple[str, ExchangeResults]:
    found: tuple[str, ExchangeResults] = request.param
    return found


@pytest.mark.thorough
def test_the_page_is_made_of_the_committed_results() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert filled(text) == text
    for name in RESULTS:
        assert f"<!-- exchange-{name} -->" in text


def test_golden_files_are_among_them() -> None:
    golden = RESULTS["golden"]
    assert golden.complete
    assert [each["torchao"] for each in golden.header.writers.values()][::11] == ["0.7.0", "0.18.0"]


def test_every_square_stands_in_its_row(exchange: tuple[str, ExchangeResults]) -> None:
    _, results = exchange
    rows = [
        [part.strip() for part in line.split("|")[1:-1]]
        for line in tables(results)
        if line.startswith("| ")
    ]
    head = next(row for row in rows if row[1] == "written by")
    assert head[2:] == [each["torchao"] for each in results.header.readers.values()]
    body = rows[rows.index(head) + 1 :]
    assert all(len(row) == len(head) for row in body)
    silent = {"**output differs**", "**corrupt**", "**output differs**~", "**corrupt**~"}
    bad = (Exchanged.OUTPUT_DIFFERS, Exchanged.CORRUPT)
    there = {cell.reader for cell in results.cells if cell.verdict in bad}
    told = {head[at] for row in body for at, word in enumerate(row) if word in silent}
    assert told == {results.header.readers[name]["torchao"] for name in there}


def test_the_counts_are_of_every_cell(exchange: tuple[str, ExchangeResults]) -> None:
    _, results = exchange
    assert results.complete
    lines = tables(results)
    for name, count in counts(results.cells).items():
        assert (f"| {name} | {count} |" in lines) == bool(count)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=", "bits equal"),
        ("Fc~", "**failed** (config.json)~"),
        ("Fl", "**failed** (loader)"),
        ("C", "**corrupt**"),
        ("?", "no result"),
        (".", "not run"),
    ],
)
def test_a_square_in_words(text: str, words: str) -> None:
    assert in_words(text) == words


def test_every_letter_has_words() -> None:
    words = {in_words(letter) for letter in LETTERS.values()}
    assert len(words) == len(LETTERS)
    assert "not run" not in words


@pytest.mark.thorough
def test_other_results_are_another_page(tmp_path: Path) -> None:
    """The page cannot stay as it is when other results are kept."""
    text = kept("golden").read_bytes()
    page = tmp_path / PAGE
    page.parent.mkdir()
    page.write_text("before\n<!-- exchange-golden -->\n<!-- /exchange-golden -->\nafter\n")
    kept("golden", tmp_path).parent.mkdir()
    kept("golden", tmp_path).write_bytes(text)
    main([], tmp_path)
    first = page.read_text()
    assert first.startswith("before\n<!-- exchange-golden -->\n\n12 writers x 6 readers")
    assert first.endswith("<!-- /exchange-golden -->\nafter\n")
    plain = tmp_path / "plain.jsonl"
    plain.write_text(_unpacked(text).replace('"torchao": "0.7.0"', '"torchao": "0.6.9"'))
    main(["golden", str(plain)], tmp_path)
    assert "| 0.7.0 to 0.12.0 |" in first
    assert page.read_text() == first.replace("| 0.7.0 ", "| 0.6.9 ")


def test_what_is_kept_has_no_traceback_and_no_path() -> None:
    text = _unpacked(kept("golden").read_bytes())
    assert '"traceback": "T' not in text
    assert "site-packages" not in text


def _unpacked(content: bytes) -> str:
    import lzma

    return lzma.decompress(content).decode()


@pytest.mark.parametrize("arguments", [["golden"], ["a", "b", "c"]])
def test_wrong_arguments_are_one_line(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^give nothing, or a name and a results file$"):
        main(arguments)
