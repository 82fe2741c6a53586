"""Directories with a past: every scene is played, and each reading judged by what was saved."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.damage.fate import Fate, Reading
from conformance.errors import UsageError
from conformance.past.result import (
    NOTHING_KNOWN,
    Loader,
    Past,
    Pasts,
    allowed,
    content,
    judged,
    read,
    save,
)
from conformance.past.run import run
from conformance.past.scenes import FORMATS, NEW, OLD, PLAIN, READINGS, Kind, Scene, scenes
from conformance.report.past import KINDS, as_json, headline, page, shown
from conformance.report.text import to_text
from conformance.roundtrip.outcome import NoResult, NoResultKind

pytestmark = pytest.mark.thorough

KNOWN = {name: Reading(tensors={"w": name}, output=f"o-{name}") for name in (NEW, OLD, PLAIN)}
MIXED = Reading(tensors={"w": NEW}, output="o-old")
SCENES = {each.id: each for each in scenes()}


def scene(kind: Kind, *wanted: str) -> Scene:
    return Scene(kind, "x", "pickle", lambda _stage, _root: None, wanted or (NEW,))


def fate(kind: Kind, saved: str, got: Reading, *wanted: str) -> Fate | None:
    return judged(scene(kind, *wanted), Loader.OWN, saved, got, KNOWN).fate


# Judging


def test_what_was_saved_last_is_harmless_and_all_else_is_silent() -> None:
    found = {name: fate(Kind.OVER_FORMAT, "", got) for name, got in KNOWN.items()}
    assert found == {NEW: Fate.HARMLESS, OLD: Fate.SILENT, PLAIN: Fate.SILENT}
    assert fate(Kind.OVER_FORMAT, "", MIXED) is Fate.SILENT


def test_after_a_save_that_broke_off_something_whole_is_harmless() -> None:
    broken = "InterruptedSave: the save ended by SIGKILL"
    found = {name: fate(Kind.BROKEN_OFF, broken, got) for name, got in KNOWN.items()}
    assert set(found.values()) == {Fate.HARMLESS}
    assert fate(Kind.BROKEN_OFF, broken, MIXED) is Fate.SILENT


def test_a_kill_that_came_too_late_leaves_the_new_one() -> None:
    assert fate(Kind.BROKEN_OFF, "", KNOWN[OLD], NEW, OLD) is Fate.SILENT


@pytest.mark.parametrize("kind", [Kind.AT_ONCE, Kind.MEANWHILE])
def test_while_several_save_each_is_harmless_and_a_mixture_is_not(kind: Kind) -> None:
    assert fate(kind, "", KNOWN[OLD], NEW, OLD) is Fate.HARMLESS
    assert fate(kind, "", KNOWN[PLAIN], NEW, OLD) is Fate.SILENT
    assert fate(kind, "", MIXED, NEW, OLD) is Fate.SILENT


def test_an_error_is_detected_and_no_answer_no_fate() -> None:
    said = Reading(error=("OSError", "no file"))
    found = judged(scene(Kind.OVER_FORMAT), Loader.DEFAULT, "", said, KNOWN)
    assert (found.fate, found.error, found.got) == (Fate.DETECTED, "OSError: no file", "")
    died = Reading(no_result=NoResult(NoResultKind.KILLED, "the process ended by SIGSEGV"))
    lost = judged(scene(Kind.OVER_FORMAT), Loader.DEFAULT, "", died, KNOWN)
    assert (lost.fate, lost.error) == (None, "killed: the process ended by SIGSEGV")


def test_content_is_tensors_and_output() -> None:
    assert content(KNOWN[OLD], KNOWN) == OLD
    assert content(replace(KNOWN[OLD], config={"any": "thing"}), KNOWN) == OLD
    assert content(MIXED, KNOWN) == NOTHING_KNOWN


def test_nothing_is_allowed_that_is_not_known() -> None:
    for kind in Kind:
        for saved in ("", "OSError: x"):
            assert NOTHING_KNOWN not in allowed(scene(kind, NEW, OLD), saved, KNOWN)


# The scenes


class Told:
    """A stage that notes what it is asked, and saves a file named after the content."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def _note(self, *asked: Any) -> None:
        self.asked.append(asked)

    def save(self, what: str, form: str, directory: Path) -> None:
        self._note("save", what, form)
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "weights"):
            (directory / name).write_text(f"{what} {form} " * 9)

    def over_itself(self, form: str, _directory: Path) -> None:
        self._note("over itself", form)

    def killed(self, what: str, form: str, _directory: Path, share: float) -> None:
        self._note("killed", what, form, share)

    def limited(self, what: str, form: str, _directory: Path, size: int) -> None:
        self._note("limited", what, form, size)

    def at_once(self, form: str, _directory: Path) -> None:
        self._note("at once", form)

    def meanwhile(self, form: str, _directory: Path) -> None:
        self._note("meanwhile", form)


def played(name: str, root: Path) -> list[tuple[Any, ...]]:
    stage = Told()
    SCENES[name].play(stage, root)
    return stage.asked


def test_ids_are_unique_and_every_kind_and_format_is_there() -> None:
    everything = list(scenes())
    assert len(SCENES) == len(everything)
    assert {(each.kind, each.form) for each in everything} == {
        (kind, form) for kind in Kind for form in FORMATS
    }
    assert list(KINDS) == list(Kind)


def test_a_save_is_killed_at_twenty_points_that_differ() -> None:
    for form in FORMATS:
        names = {
            each.name for each in scenes() if (each.kind, each.form) == (Kind.BROKEN_OFF, form)
        }
        assert len(names) == 20


def test_the_same_points_every_time() -> None:
    assert [each.id for each in scenes()] == [each.id for each in scenes()]


def test_scenes_do_what_they_say(tmp_path: Path) -> None:
    assert played("over-another-format/over-pickle.safetensors", tmp_path / "a") == [
        ("save", OLD, "pickle"),
        ("save", NEW, "safetensors"),
    ]
    assert played("over-other-content/plain-over-new.pickle", tmp_path / "b") == [
        ("save", NEW, "pickle"),
        ("save", PLAIN, "pickle"),
    ]
    assert played("over-itself/loaded-and-saved.safetensors", tmp_path / "d") == [
        ("save", NEW, "safetensors"),
        ("over itself", "safetensors"),
    ]
    assert played("full-disk/500-bytes-over-old.pickle", tmp_path / "c") == [
        ("save", OLD, "pickle"),
        ("limited", NEW, "pickle", 500),
    ]


def test_half_a_save_is_half(tmp_path: Path) -> None:
    sizes: list[int] = []

    class Looking(Told):
        def save(self, what: str, form: str, directory: Path) -> None:
            if self.asked:
                sizes.extend(len(each.read_text()) for each in sorted(directory.iterdir()))
            super().save(what, form, directory)

    SCENES["after-half-a-save/of-pickle.pickle"].play(Looking(), tmp_path)
    whole = len("old pickle " * 9)
    assert sizes == [whole, whole // 2]


def test_links_are_links(tmp_path: Path) -> None:
    played("linked/each-file.pickle", tmp_path)
    assert (tmp_path / "checkpoint" / "weights").is_symlink()
    assert (tmp_path / "elsewhere" / "weights").read_text().startswith("new")


@pytest.mark.parametrize("name", [each for each in SCENES if each.startswith("odd-place/")])
def test_an_odd_place_is_where_it_is_read(name: str, tmp_path: Path) -> None:
    if "longest" in name and len(os.fspath(tmp_path)) > 300:
        pytest.skip("the temporary directory is long itself")
    assert played(name, tmp_path) == [("save", NEW, SCENES[name].form)]
    assert (tmp_path / SCENES[name].place / "weights").exists()


# Results and reports

FOUND = Pasts(
    {"torch": "2.13.0"},
    (
        Past("killed/x.pickle", "killed", "pickle", Loader.OWN, Fate.HARMLESS, "old", "killed"),
        Past("linked/y.pickle", "linked", "pickle", Loader.OWN, Fate.SILENT, "new"),
        Past("linked/y.pickle", "linked", "pickle", Loader.DEFAULT, Fate.DETECTED, error="E: x"),
        Past("linked/z.pickle", "linked", "pickle", Loader.OWN, None, error="timeout: x"),
    ),
)


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    save(tmp_path / "p.jsonl", FOUND)
    assert read(tmp_path / "p.jsonl") == FOUND


@pytest.mark.parametrize("text", ["", "{", '{"kind":"damage","schema":1}', '{"kind":"past"}'])
def test_what_is_no_results_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no results of `conformance past`"):
        read(path)


def test_reports_count_and_name_what_was_silent() -> None:
    assert headline(FOUND) == (
        "1 of 4 readings of directories with a past load without an error what was not saved"
        " last; 1 are errors, 1 harmless, 1 without a result"
    )
    said = to_text(shown(FOUND), 200)
    assert ["linked/y.pickle", "own", "new", "1"] in [each.split() for each in said.splitlines()]
    assert "linked/z.pickle: no result: timeout: x" in said
    assert "| linked | own | 2 | 1 | 1 | 0 | 0 |" in page(FOUND)
    assert "| linked/y.pickle | own | new | 1 |" in page(FOUND)
    died = Past(
        "over-itself/x.pickle", "over-itself", "pickle", Loader.OWN, Fate.DETECTED, "", "S: d"
    )
    lines = page(Pasts({}, (*FOUND.results, died))).splitlines()
    assert "| over-itself/x.pickle | `S: d` |" in lines
    assert [each for each in lines if each.startswith("| killed/x")] == []
    assert as_json(FOUND)["silent"] == [
        {"scene": "linked/y.pickle", "loader": "own", "loaded": "new", "times": 1}
    ]


# Real ones

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs" / "results" / "past.jsonl"
STEADY = (
    "over-another-format/over-safetensors.pickle",
    "over-another-format/over-pickle.safetensors",
    "over-other-content/plain-over-new.safetensors",
    "odd-place/for-a-shell.pickle",
    "linked/each-file-and-what-they-link-to.safetensors",
    "full-disk/5000-bytes.safetensors",
    "over-itself/loaded-and-saved.pickle",
    "over-itself/loaded-and-saved.safetensors",
)


def test_the_page_is_that_of_the_committed_results() -> None:
    assert (ROOT / "docs" / "past.md").read_text(encoding="utf-8") == page(read(COMMITTED))


def test_the_committed_results_are_of_every_scene() -> None:
    expected = {name: 2 * each.readings for name, each in SCENES.items()}
    counts: dict[str, int] = {}
    for each in read(COMMITTED).results:
        counts[each.scene] = counts.get(each.scene, 0) + 1
    assert counts == expected
    assert READINGS > 1


def test_real_scenes_end_as_in_the_committed_results() -> None:
    from conformance.environment import observed_versions

    committed = read(COMMITTED)
    if committed.versions != observed_versions():
        pytest.skip("the committed results are of other versions")
    found = list(run([SCENES[name] for name in STEADY]))
    assert len(found) == 2 * len(STEADY)
    assert [each for each in found if each not in committed.results] == []
    assert not (Path.cwd() / "ran").exists()
