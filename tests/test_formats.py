"""The other ways to save and load: what the formats of `axes/formats` do beside round trips."""

import pytest
from repros import repro, wrong_with

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.axes.pretrained import REPRESENTATIVE
from conformance.case import all_cases, find, require_inert
from conformance.errors import UsageError
from conformance.report.repro.script import script
from conformance.roundtrip.engine import loaded_alike

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


def test_one_format_alone_executes() -> None:
    assert [each.name for each in registry.formats().values() if each.executes] == ["module"]


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
