"""The other ways to save and load: what the formats of `axes/formats` do beside round trips."""

from dataclasses import replace
from pathlib import Path

import pytest
from called import called
from repros import repro, wrong_with

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.axes.pretrained import REPRESENTATIVE
from conformance.case import all_cases, find, require_inert
from conformance.errors import UsageError
from conformance.report.repro.script import script
from conformance.roundtrip import verify
from conformance.roundtrip.checks import payload
from conformance.roundtrip.engine import loaded_alike
from conformance.roundtrip.evidence import Evidence
from conformance.roundtrip.facts import Inner, ModelFacts, TensorFacts
from conformance.roundtrip.kept import Request
from conformance.roundtrip.readback import read_back
from conformance.roundtrip.record import Output, Record

EXTRA = [each for each in registry.formats().values() if each.extra]


def names(*, extra: bool) -> set[str]:
    return {each.format.name for each in all_cases().values() if each.format.extra is extra}


def test_an_extra_format_is_combined_with_a_few_schemes() -> None:
    assert EXTRA
    for form in EXTRA:
        assert form.schemes
        assert set(form.schemes) <= registry.schemes().keys()
        assert len(form.schemes) <= len(REPRESENTATIVE)


def test_every_extra_format_has_cases() -> None:
    assert names(extra=True) == {each.name for each in EXTRA}


def test_names_of_extra_formats_say_no_other_format() -> None:
    """A glob on a plain format must not reach an extra one, but for a variant of it."""
    for form in EXTRA:
        assert form.name not in names(extra=False)


def test_what_executes_is_read_by_the_run_that_wrote_it_only() -> None:
    case = find("flux-tiny.nf4.quantize_.module.cpu")
    with pytest.raises(UsageError, match="executes what is in the file"):
        require_inert([find("flux-tiny.nf4.quantize_.pickle.cpu"), case])


def test_what_executes_nothing_may_be_read_by_anybody() -> None:
    require_inert(each for each in all_cases().values() if not each.format.executes)


def test_one_format_executes_and_what_is_exported_or_compiled_ahead() -> None:
    found = [each.name for each in registry.formats().values() if each.executes]
    packages = ["aoti", "aoti-outside", "aoti-unfilled"]
    assert found == ["export", "export-strict", "module", *packages]


def test_readers_of_extra_formats_are_not_shared() -> None:
    plain, mmap, hub, module = (
        loaded_alike(find(f"flux-tiny.nf4.quantize_.{form}.cpu"))
        for form in ("state-dict", "state-dict-mmap", "hub-pickle", "module")
    )
    assert plain == mmap
    assert len({plain, hub, module}) == 3


@pytest.mark.parametrize(
    "form", [each for each in EXTRA if each.script], ids=lambda form: form.name
)
def test_a_repro_of_a_format_is_a_script_by_itself(form: Format) -> None:
    cases = [each for each in all_cases().values() if each.format is form]
    for case in cases[:: max(1, len(cases) // 4)]:
        assert wrong_with(script(repro(case))) == []


def test_what_executes_is_not_read_back_from_a_directory(tmp_path: Path) -> None:
    request = Request("me", tmp_path, ("flux-tiny.nf4.quantize_.module.cpu",))
    with pytest.raises(UsageError, match="executes what is in the file"):
        next(read_back([request]))


@pytest.mark.parametrize(
    "command",
    [
        ("damage", "--select", "flux-tiny.nf4.quantize_.module.cpu"),
        ("exchange", "-w", "here", "-r", "here", "-s", "flux-tiny.nf4.quantize_.module.cpu"),
    ],
    ids=lambda command: command[0],
)
def test_commands_that_read_what_may_come_from_elsewhere_refuse_it(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    ran = called(*command, where=tmp_path)
    assert ran.returncode == 2
    assert "executes what is in the file" in ran.stderr


def evidence(form: str, bytes_: int, files: tuple[str, ...] = ("a",)) -> Evidence:
    """A model of 2 bytes in its state dict and 4 in a buffer outside of it, and what was saved."""
    case = find(f"flux-tiny.nf4.quantize_.{form}.cpu")
    facts = ModelFacts(
        {"w": tensor("parameter", 2), "table": tensor("non-persistent buffer", 4)}, ()
    )
    digests = {f"{name}/w": "" for name in files}
    size = {"all": bytes_ + 30_000}
    output = Output("", "torch.bfloat16", ())
    record = Record(case.id, 0, facts, None, digests, bytes_, size, output, output, {})
    return Evidence(case, record)


def tensor(kind: str, size: int) -> TensorFacts:
    inner = Inner("torch.int8", (size,), (1,), "cpu", size, "")
    return TensorFacts(kind, "Tensor", "torch.int8", (size,), (1,), False, {}, {"data": inner})


def sizes(found: Evidence) -> list[str]:
    return [each.what for each in payload.run(found)]


@pytest.mark.parametrize(
    ("form", "bytes_", "found"),
    [
        ("state-dict", 2, []),
        ("state-dict", 6, ["payload differs"]),
        ("module", 6, []),
        ("module", 2, ["payload differs"]),
    ],
)
def test_a_whole_module_holds_what_no_state_dict_does(
    form: str, bytes_: int, found: list[str]
) -> None:
    told = [each for each in sizes(evidence(form, bytes_)) if each.startswith("payload")]
    assert told == found


def test_the_files_of_an_archive_are_counted_each() -> None:
    """Each shard repeats the metadata, also where one archive holds all of them."""
    many = tuple(f"{n}.safetensors" for n in range(40))
    assert sizes(evidence("dduf-safetensors", 2)) == ["overhead is too large"]
    assert sizes(evidence("dduf-safetensors", 2, many)) == []


@pytest.mark.thorough
def test_a_load_that_fails_leaves_the_default_dtype_to_the_next_case(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    def spoil(*_: object) -> None:
        torch.set_default_dtype(torch.float16)
        raise OSError("no")

    case = find("flux-tiny.nf4.quantize_.pickle.cpu")
    spoiling = replace(case, format=replace(case.format, load=spoil))
    with pytest.raises(OSError, match=r"^no$"):
        verify.load(spoiling, tmp_path)
    assert torch.get_default_dtype() is torch.float32
