"""What is exported or compiled ahead of time: what is asked of it, how it is read and called."""

import io
import math
import zipfile
from pathlib import Path

import pytest
from test_comparison import NEW, results

from conformance.axes import registry
from conformance.axes.files import Contents
from conformance.axes.pt2 import read_package, read_program
from conformance.case import AHEAD, Case, all_cases, all_ids, default_cases, find
from conformance.errors import UnavailableError
from conformance.judging.expectations import active, load_expectations, packaged
from conformance.judging.judge import judge
from conformance.report import ahead, tables
from conformance.report.support import Support
from conformance.roundtrip import checks
from conformance.roundtrip.checks import eager
from conformance.roundtrip.evidence import Closeness, Evidence, Side
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome
from conformance.roundtrip.record import Record
from conformance.selection import chosen, marker_names

FORMATS = [each for each in registry.formats().values() if each.ahead]
PACKED = find("flux-tiny.int8wo.quantize_.aoti.cpu")
EXPORTED = find("flux-tiny.int8wo.quantize_.export.cpu")


def test_what_is_not_asked_is_a_check_and_has_a_reason() -> None:
    for form in registry.formats().values():
        assert form.not_asked.keys() <= checks.check_names()
        assert all(form.not_asked.values())
        assert not form.not_asked or form.ahead


def test_they_run_by_a_marker_of_their_own() -> None:
    assert not any(case.format.ahead for case in default_cases())
    assert not any(case.format.ahead for case in chosen([], ["extra"]))
    found = chosen([], [AHEAD])
    assert {case.format.name for case in found} == {each.name for each in FORMATS}
    assert all(AHEAD in marker_names(case) for case in found)


def test_a_family_alone_asks_for_no_format_that_is_extra() -> None:
    assert all(case.format.usual for case in chosen([], ["flux"]))


def test_each_is_combined_with_a_few_schemes_and_may_execute() -> None:
    for form in FORMATS:
        assert form.schemes
        assert len(form.schemes) <= 4
    assert {each.name for each in FORMATS if not each.executes} == {
        "compiled-pickle",
        "compiled-state-dict",
    }


def test_every_one_of_them_has_cases() -> None:
    assert {c.format.name for c in all_cases().values() if c.format.ahead} == {
        each.name for each in FORMATS
    }


# The committed results


@pytest.mark.thorough
def test_the_committed_results_are_of_every_format_and_as_expected() -> None:
    measured = tables.committed(path=tables.AHEAD)
    assert {find(name).format.name for name in measured.cases} == {each.name for each in FORMATS}
    known = load_expectations(packaged(), checks.check_names(), all_ids())
    declared = active(known, measured.header.versions)
    judged = [judge(each.outcome, declared) for each in measured.cases.values()]
    assert [each.case for each in judged if not each.as_expected] == []
    covering = {name for each in judged for name in each.covered_by}
    about = {each.name for each in declared if any(map(each.about, measured.cases))}
    assert about - covering == set()


def test_a_table_says_how_close_an_output_is() -> None:
    outcome = Outcome(PACKED.id, measures={"eager_cosine": 0.99998, "eager_sqnr_db": 43.63})
    died = Outcome(EXPORTED.id, no_result=NoResult(NoResultKind.KILLED, "SIGSEGV"))
    rows = ahead.what_came_back(Support.of(results({PACKED.id: outcome, EXPORTED.id: died}, NEW)))
    assert rows[-2:] == [
        "| `flux-tiny` | `export` | `?` |",
        "| `flux-tiny` | `aoti` | `=` 0.99998, 43.6 |",
    ]


# Checks


def evidence(case: Case, closeness: Closeness | None = None) -> Evidence:
    nothing = ModelFacts({}, ())
    record = Record(case.id, 0, nothing, None, {}, 0, {}, None, None)
    return Evidence(case, record, reloaded=nothing, eager=closeness)


@pytest.mark.parametrize(
    ("closeness", "found"),
    [
        (None, []),
        (Closeness(0.99999, 43.0, 30.0), []),
        (Closeness(1.0, math.inf, 30.0), ["equals the eager output"]),
        (Closeness(0.9, 43.0, 30.0), ["cosine is below the floor"]),
        (Closeness(0.9999, 14.0, 13.0), ["SQNR is below the floor"]),
        (Closeness(0.9999, 37.6, 38.5), []),
        (Closeness(0.9999, 31.0, 34.0), ["closer to the unquantized model"]),
        (
            Closeness(0.0, -math.inf, -math.inf),
            [
                "cosine is below the floor",
                "SQNR is below the floor",
                "closer to the unquantized model",
            ],
        ),
    ],
)
def test_what_was_compiled_must_be_near(closeness: Closeness | None, found: list[str]) -> None:
    assert [each.what for each in eager.run(evidence(PACKED, closeness))] == found


def test_a_check_that_means_nothing_is_not_asked() -> None:
    far = Closeness(0.0, 0.0, 10.0)
    assert {each.check for each in checks.ask(evidence(PACKED, far), Side.READER)} == {"eager"}


# Files


def archive(path: Path, entries: dict[str, bytes]) -> Contents:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, content in entries.items():
            file.writestr(f"{path.stem}/{name}", content)
    return (read_package if path.stem == "package" else read_program)(path.parent)


def pickled(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", b"ctorch\nTensor\n.")
        file.writestr("archive/data/0", content)
    return buffer.getvalue()


def test_a_program_holds_weights_and_constants(tmp_path: Path) -> None:
    found = archive(
        tmp_path / "program.pt2",
        {
            "models/model.json": b"{}",
            "data/weights/model_weights_config.json": b"{}",
            "data/weights/weight_0": b"12345678",
            "data/weights/weight_1": pickled(b"1234"),
            "data/constants/tensor_0": b"12",
            "data/sample_inputs/model.pt": b"1",
        },
    )
    assert {each.name: each.bytes for each in found.pieces} == {
        "program.pt2/data/weights/weight_0": 8,
        "program.pt2/data/weights/weight_1/data/0": 4,
        "program.pt2/data/constants/tensor_0": 2,
    }
    assert found.notes == {"program.pt2/data/weights/weight_1#globals": "torch.Tensor"}


def test_a_package_holds_code(tmp_path: Path) -> None:
    code = {"data/aotinductor/model/a.so": b"123", "data/aotinductor/model/a.json": b"{}"}
    found = archive(tmp_path / "package.pt2", code)
    assert [each.name for each in found.pieces] == ["package.pt2/data/aotinductor/model/a.so"]


def test_one_byte_more_gives_another_digest(tmp_path: Path) -> None:
    first = archive(tmp_path / "program.pt2", {"data/weights/weight_0": b"1"})
    second = archive(tmp_path / "program.pt2", {"data/weights/weight_0": b"2"})
    assert first.digests.keys() == second.digests.keys()
    assert first.digests != second.digests


def test_a_program_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    archive(tmp_path / "program.pt2", {"data/weights/weight_0": b"12345678"})
    path = tmp_path / "program.pt2"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="damaged"):
        read_program(tmp_path)


# With torch


@pytest.mark.thorough
def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from conformance.axes import programs

    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UnavailableError, match=r"^needs a C\+\+ compiler, no-such-compiler is not"):
        programs.require_compiler()


@pytest.mark.thorough
def test_a_program_is_called_and_saved_like_the_model_that_it_was(tmp_path: Path) -> None:
    import torch

    from conformance.axes import models
    from conformance.roundtrip.observe import observe

    model = models.build(EXPORTED.subject)
    inputs = models.inputs(EXPORTED.subject)
    EXPORTED.format.save(model, tmp_path, 0)
    program = EXPORTED.format.load(type(model), {}, tmp_path, EXPORTED.device).eval()
    assert torch.equal(models.forward(program, inputs), models.forward(model, inputs))
    assert observe(program) == observe(model)
    again = tmp_path / "again"
    again.mkdir()
    EXPORTED.format.save(program, again, 0)
    assert read_program(again).digests == read_program(tmp_path).digests
