"""Which cases a run has."""

from dataclasses import replace

import pytest

from conformance.axes import registry
from conformance.axes.base import Format, Size
from conformance.case import EXTRA, all_cases, default_cases, find, select
from conformance.errors import UsageError
from conformance.selection import candidates, chosen, described_markers, marker_names

CASE = find("flux-small.int8wo.quantize_.pickle.cuda")
TINY = find("flux-tiny.int8wo.quantize_.pickle.cpu")


def test_every_axis_value_is_a_marker() -> None:
    assert marker_names(CASE) == ("small", "gpu", "flux", "int8wo", "quantize_", "pickle")


def test_every_marker_of_every_case_is_described() -> None:
    used = {name for case in all_cases().values() for name in marker_names(case)}
    assert used == described_markers().keys()
    assert all(described_markers().values())


def test_nothing_asked_for_is_tiny_models_on_cpu() -> None:
    assert candidates([], []) == default_cases() == chosen([], [])


def test_globs_reach_every_case() -> None:
    assert candidates([CASE.id], []) == [CASE]


@pytest.fixture
def rare(monkeypatch: pytest.MonkeyPatch) -> Format:
    """A format that is extra, and is combined with one scheme."""
    formats = registry.formats()
    rare = replace(formats["pickle"], name="rare", extra=True, schemes=("int8wo",))
    monkeypatch.setattr(registry, "formats", lambda: formats | {rare.name: rare})
    return rare


def test_what_is_extra_is_not_meant_unless_it_is_asked_for(rare: Format) -> None:
    usual = candidates([], [])
    assert usual == default_cases()
    assert all(case.format is not rare for case in usual)


@pytest.mark.parametrize("word", [EXTRA, "rare"])
def test_what_is_extra_comes_in_by_its_marker_or_name(rare: Format, word: str) -> None:
    found = [case for case in candidates([], [word]) if case.format is rare]
    assert {case.scheme.name for case in found} == {"int8wo"}
    assert {case.subject.size for case in found} == {Size.TINY}
    assert all(EXTRA in case.markers for case in found)


def test_a_glob_that_reaches_usual_cases_means_no_extra_one() -> None:
    found = chosen(["flux-tiny.int8wo.quantize_.*.cpu"], [])
    assert found
    assert not any(case.extra for case in found)


def test_a_glob_that_reaches_extra_cases_alone_means_them() -> None:
    found = chosen(["flux-tiny.int8wo.quantize_.hub-*.cpu"], [])
    assert found
    assert all(case.format.name.startswith("hub-") for case in found)


@pytest.mark.parametrize("word", [EXTRA, "hub-pickle"])
def test_a_glob_means_extra_cases_where_a_word_asks_for_them(word: str) -> None:
    found = chosen(["flux-tiny.int8wo.quantize_.*.cpu"], [word])
    assert found
    assert all(word in marker_names(case) for case in found)


@pytest.mark.parametrize(
    ("words", "inside"),
    [(["small"], [True, False]), (["gpu"], [False, False]), (["small", "gpu"], [True, True])],
)
def test_words_bring_in_sizes_and_devices(words: list[str], inside: list[bool]) -> None:
    on_cpu = find(CASE.id.replace("cuda", "cpu"))
    found = candidates([], words)
    assert [case in found for case in (on_cpu, CASE)] == inside


def test_a_size_that_is_denied_takes_nothing_away() -> None:
    assert TINY in candidates([], {"not", "small"})


def test_every_marker_asked_for_must_be_there() -> None:
    found = chosen([], ["small", "flux", "int8wo"])
    assert found
    assert {(c.subject.size, c.subject.family.name, c.scheme.name) for c in found} == {
        (Size.SMALL, "flux", "int8wo")
    }


def test_markers_narrow_globs() -> None:
    glob = "flux-tiny.int8wo.*.cpu"
    assert chosen([glob], ["pickle"]) == [c for c in select([glob]) if c.format.name == "pickle"]


@pytest.mark.parametrize(
    ("globs", "markers", "said"),
    [
        ([], ["int8w"], r"^no marker 'int8w'; did you mean int8wo"),
        ([], ["?"], r"^no marker '\?'; `pytest --markers` prints them$"),
        (["*.cpu"], ["gpu"], r"^no case is left with --marker gpu; ask for fewer markers$"),
        (["*.cpu", "nowhere"], [], r"^'nowhere' matches no case"),
    ],
)
def test_what_matches_nothing_is_told(globs: list[str], markers: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        chosen(globs, markers)
