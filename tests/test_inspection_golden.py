"""What old releases wrote is told right: subclass, scheme, who wrote it, who can read it."""

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.inspection.advice import Advice, advise
from conformance.inspection.kinds import describe
from conformance.inspection.readers import Measured, Read, Sure, ask, table
from conformance.inspection.sources import Folder
from conformance.inspection.whole import Checkpoint, checkpoints
from conformance.judging.excuses import Raises
from conformance.judging.expectations import Expectation
from conformance.roundtrip.facts import PLAIN
from conformance.versions.golden import Shelf, shelves
from conformance.versions.golden_read import expected

SHELVES = {shelf.name: shelf for shelf in shelves()}
CASES = [(shelf.name, case) for shelf in SHELVES.values() for case in shelf.manifest.cases]
EXPECTED = expected(tuple(SHELVES.values()))

SCHEMES = {
    "int8wo": ({"int8 weights, weight only, per row"}, {"Int8Tensor", "AffineQuantizedTensor"}),
    "int8wo-v2": ({"int8 weights, weight only, per row"}, {"Int8Tensor"}),
    "int8dq": (
        {"int8 weights, int8 activations, per row"},
        {"Int8Tensor", "LinearActivationQuantizedTensor"},
    ),
    "float8wo": (
        {"float8_e4m3fn weights, weight only, per row"},
        {"Float8Tensor", "AffineQuantizedTensor"},
    ),
    # A group as wide as the layer is a row.
    "int4wo-v1-cpu": (
        {"int4 weights, weight only, per row", "int4 weights, weight only, groups of 32"},
        {"AffineQuantizedTensor"},
    ),
    "int4wo-opaque": (
        {"int4 weights, weight only, per row", "int4 weights, weight only, groups of 32"},
        {"Int4OpaqueTensor"},
    ),
    "intx4-g32": (
        {"int4 weights, weight only, per row", "int4 weights, weight only, groups of 32"},
        {"IntxUnpackedToInt8Tensor", "AffineQuantizedTensor"},
    ),
}


def inspected(directory: Path) -> Checkpoint:
    (found,) = checkpoints(Folder(directory), table().names)
    return found


def of(name: str, case: str) -> Checkpoint:
    return inspected(SHELVES[name].directory / case / "checkpoint")


def advice(found: Checkpoint) -> Advice:
    return advise(found, table(), None)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_tensors_are_those_of_the_record(name: str, case: str) -> None:
    shelf = SHELVES[name]
    record: Any = json.loads((shelf.directory / case / "record.json").read_text(encoding="utf-8"))
    wanted = {
        key: (
            "" if each["subclass"] in PLAIN else each["subclass"],
            each["dtype"],
            tuple(each["shape"]),
            {n: (p["dtype"], tuple(p["shape"]), p["bytes"]) for n, p in each["inner"].items()},
        )
        for key, each in record["facts"]["tensors"].items()
        if each["kind"] != "non-persistent buffer"
    }
    got = {
        each.key: (
            each.subclass,
            f"torch.{each.dtype}",
            each.shape,
            {n: (f"torch.{p.dtype}", p.shape, p.bytes) for n, p in each.parts.items()},
        )
        for each in of(name, case).loaded.weights
    }
    assert got == wanted


@pytest.mark.parametrize(("name", "case"), CASES)
def test_scheme_and_writer_are_right(name: str, case: str) -> None:
    found, scheme = of(name, case), case.split(".")[1]
    kinds, classes = SCHEMES[scheme]
    assert {str(describe(each)) for each in found.loaded.quantized} <= kinds
    assert {each.subclass.partition("/")[0] for each in found.loaded.quantized} <= classes
    answer = advice(found).answer
    assert answer is not None
    assert (answer.sure, answer.configured) == (Sure.MEASURED, True)
    assert scheme in answer.schemes
    assert SHELVES[name].versions["torchao"] in answer.writers
    assert [each.what for each in found.findings if each.kind.wrong] == []


def declared(shelf: Shelf, case: str, reader: str) -> list[Expectation]:
    """What `expected.toml` says of a reading by from_pretrained; it was measured apart."""
    item = f"{case}@{shelf.manifest.label}~loader"
    versions = {"torchao": reader, "diffusers": "0.42.1", "torch": "2.13.0"}
    return [each for each in EXPECTED if each.about(item) and each.holds_for(versions)]


@pytest.mark.parametrize("reader", ["0.16.0", "0.17.0", "0.18.0"])
@pytest.mark.parametrize(("name", "case"), CASES)
def test_who_can_read_it_agrees_with_what_is_declared(name: str, case: str, reader: str) -> None:
    shelf, answer = SHELVES[name], advice(of(name, case)).answer
    assert answer is not None
    read = answer.by_writer[shelf.versions["torchao"]][reader]
    fails = any(isinstance(each.excuse, Raises) for each in declared(shelf, case, reader))
    assert (read in (Read.FAILED, Read.REFUSED)) == fails


ALTERED = "(bits equal, something beside them is not)"
AQT = (
    "Written with AffineQuantizedTensor (int8 weights, weight only, per row), "
    "by torchao 0.7 to 0.17 as far as the file tells.",
    f"torchao 0.13 to 0.17 read it {ALTERED}.",
    "torchao 0.18 cannot read it.",
    "Load it with torchao 0.13 to 0.17 and save again: dequantize it there (or take the original "
    "weights), quantize with Int8WeightOnlyConfig(version=2), save; torchao 0.18 reads that of "
    "torchao 0.15 to 0.17.",
)


@pytest.mark.parametrize("name", ["torchao-0.7", "torchao-0.12", "torchao-0.17"])
def test_advice_for_what_is_gone(name: str) -> None:
    assert advice(of(name, "flux-tiny.int8wo.quantize_.pickle.cpu")).sentences == AQT


def test_advice_for_what_the_newest_reads() -> None:
    case = "flux-tiny.int8wo-v2.torchao-config.safetensors.cpu"
    *_, last = advice(of("torchao-0.17", case)).sentences
    assert last == "Nothing to do: torchao 0.18, the newest measured, reads it."


def test_advice_where_the_file_does_not_tell_who_wrote_it() -> None:
    case = "cogvideox-tiny.float8wo.quantize_.pickle.cpu"
    sentences = advice(of("torchao-0.14", case)).sentences
    assert sentences == advice(of("torchao-0.18", case)).sentences
    assert sentences[1:] == (
        "Who can read it depends on which of them wrote it, and the file does not tell:",
        f"- of torchao 0.14: torchao 0.13 and 0.14 read it {ALTERED}; "
        "torchao 0.15 to 0.18 load it without an error and compute something else.",
        f"- of torchao 0.15 to 0.18: torchao 0.15 to 0.18 read it {ALTERED}; "
        "torchao 0.13 and 0.14 load it without an error and compute something else.",
        "Load it with the release that wrote it; if that is not known, quantize again.",
    )


def test_the_installed_release_is_told_when_it_cannot_read() -> None:
    found = of("torchao-0.17", "flux-tiny.int8wo.quantize_.pickle.cpu")
    here = advise(found, table(), "0.18.0").sentences
    assert here[-1] == "torchao 0.18.0 is installed here: it cannot read it."
    assert advise(found, table(), "0.17.0").sentences == AQT
    other = advise(found, table(), "0.99.0").sentences[-1]
    assert other == "torchao 0.99.0 is installed here, and was not measured."


def test_a_form_that_nobody_measured_is_not_guessed() -> None:
    answer = ask(frozenset({"pickle: some.New [x] {}"}), None, table())
    assert (answer.sure, answer.writers, dict(answer.reads)) == (Sure.UNKNOWN, (), {})


def test_another_attribute_is_told_by_classes_only() -> None:
    measured: Measured = table()
    form = next(form for row in measured.rows for form in row.forms if "Int8Tensor" in form)
    answer = ask(frozenset({form.replace("reduce_range", "other") + " "}), None, measured)
    assert answer.sure is Sure.CLASSES


def test_every_golden_writer_is_in_the_table() -> None:
    wrote = {shelf.versions["torchao"] for shelf in SHELVES.values()}
    assert wrote <= {row.writer for row in table().rows}
