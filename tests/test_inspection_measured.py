"""The table of who reads what comes out of exchanges, and says how it was made."""

import json
from pathlib import Path

import pytest
from test_exchange import ALTERED, CASE, EQUAL, FAILED

from conformance.errors import UsageError
from conformance.inspection import readers
from conformance.inspection.advice import spoken
from conformance.inspection.measured import Exchange, data, exchange, text
from conformance.inspection.readers import Measured, Read, ask
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchange_results import ExchangeHeader, ExchangeResults, ExchangeWriter
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import Outcome
from conformance.versions.golden import shelves

SHELVES = {each.versions["torchao"]: each for each in shelves()}
OLD, NEW = SHELVES["0.17.0"], SHELVES["0.18.0"]
READERS = {
    "r18": {"torchao": "0.18.0", "torch": "2", "diffusers": "1", "safetensors": "1"},
    "r9": {"torchao": "0.9.0", "torch": "2", "diffusers": "1", "safetensors": "1"},
}


def header(*cases: str) -> ExchangeHeader:
    writers = {each.manifest.label: each.versions for each in (OLD, NEW)}
    return ExchangeHeader(writers, READERS, cases, ("*.int8wo.*",), "now")


def cell(writer: str, reader: str, loader: Outcome, weights: Outcome) -> Cell:
    return Cell(CASE, writer, reader, Readings("w", CASE, loader, weights))


CELLS = (
    cell(OLD.manifest.label, "r18", FAILED, EQUAL),
    cell(OLD.manifest.label, "r9", ALTERED, ALTERED),
    cell(NEW.manifest.label, "r18", EQUAL, EQUAL),
    Cell(CASE, NEW.manifest.label, "r9", nothing=Nothing(Unmeasured.NOT_WRITTEN, "no")),
)
MADE = Exchange(
    ExchangeResults(header(CASE), CELLS, complete=True),
    {each.manifest.label: each.directory for each in (OLD, NEW)},
    golden=True,
)


@pytest.fixture
def made(tmp_path: Path) -> Measured:
    """The table of four cells, by way of its file."""
    path = tmp_path / "readers.json"
    path.write_text(text(data([MADE], "the command")), encoding="utf-8")
    return readers.table.__wrapped__(path)


def test_cells_are_filed_under_what_inspection_sees(made: Measured) -> None:
    assert list(made.readers) == ["0.9.0", "0.18.0"]
    rows = [(row.writer, row.loader, row.weights, row.cases) for row in made.rows]
    assert rows == [("0.17.0", "aF", "a=", 1), ("0.18.0", ".=", ".=", 1)]
    (form,) = made.rows[1].forms
    assert form.startswith("pickle: torchao.quantization.Int8Tensor [")
    assert "torchao.quantization.Int8Tensor" in made.names
    assert "torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor" in made.names


def test_the_loader_is_asked_where_the_config_was_measured(made: Measured) -> None:
    row = made.rows[0]
    by_loader = ask(row.forms, row.config, made)
    assert dict(by_loader.reads) == {"0.9.0": Read.ALTERED, "0.18.0": Read.FAILED}
    by_weights = ask(row.forms, "another config", made)
    assert dict(by_weights.reads) == {"0.9.0": Read.ALTERED, "0.18.0": Read.EQUAL}
    assert (by_loader.configured, by_weights.configured) == (True, False)


def test_the_file_says_how_it_was_made() -> None:
    content = json.loads(text(data([MADE], "the command")))
    assert content["command"] == "the command"
    assert content["exchanges"] == ["conformance exchange -w golden -r r18 -r r9 -s '*.int8wo.*'"]


def test_a_results_file_is_read_with_its_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with ExchangeWriter(path, header(CASE)) as writer:
        for each in CELLS:
            writer.write(each)
    golden, kept = exchange(str(path)), exchange(f"{path}={tmp_path}")
    label = OLD.manifest.label
    assert (golden.golden, golden.writers[label]) == (True, OLD.directory)
    assert (kept.golden, kept.writers[label]) == (False, tmp_path / label)
    with pytest.raises(UsageError, match="cannot read the results"):
        exchange(str(tmp_path / "none.jsonl"))


def test_the_committed_table_was_made_of_the_golden_files_too() -> None:
    content = json.loads(readers.DATA.read_text(encoding="utf-8"))
    assert content["command"].startswith("python -m conformance.inspection.measured ")
    assert content["exchanges"][0].startswith("conformance exchange -w golden ")


SPOKEN = {
    (): "",
    ("1.1.0",): "1.1",
    ("1.1.0", "1.2.0"): "1.1 and 1.2",
    ("1.1.0", "1.2.0", "1.3.1"): "1.1 to 1.3",
    ("1.1.0", "1.2.0", "1.4.0"): "1.1, 1.2 and 1.4",
    ("1.1.0", "1.2.0", "1.3.1", "1.5.0"): "1.1 to 1.3 and 1.5",
}


@pytest.mark.parametrize(("versions", "words"), SPOKEN.items())
def test_versions_are_spoken_in_runs(versions: tuple[str, ...], words: str) -> None:
    assert spoken(versions, ["1.1.0", "1.2.0", "1.3.1", "1.4.0", "1.5.0"]) == words
