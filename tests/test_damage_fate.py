"""What became of a damaged checkpoint, judged, written down, read back and told."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.case import default_formats
from conformance.damage.fate import SAID, Differs, Fate, Reading, Result, result, told
from conformance.damage.mutation import Kind
from conformance.damage.results import Damage, Header, Writer, read
from conformance.errors import UsageError
from conformance.report.damage import KINDS, as_json, headline, page, shown
from conformance.report.text import to_text
from conformance.roundtrip.outcome import NoResult, NoResultKind

CASE = "flux-tiny.int8wo.torchao-config.pickle.cpu"
OTHER = "flux-tiny.int8wo.torchao-config.safetensors.cpu"


def tensors(digest: str = "1", **facts: Any) -> Mapping[str, Any]:
    return {"w": {"shape": [2], "inner": {"data": {"digest": digest, "device": "cpu"}}, **facts}}


WHOLE = Reading(tensors=tensors(), config={"n": "2"}, output="feed")


def judged(got: Reading, *, inspected: bool = False) -> Result:
    return result(CASE, ("anywhere", "x"), WHOLE, got, inspected=inspected)


# Judging


def test_the_same_is_harmless() -> None:
    assert judged(WHOLE) == Result(CASE, "anywhere", "x", Fate.HARMLESS)


LOADED = {
    "bits": ({"tensors": tensors("2")}, (Differs.BITS,)),
    "shape": ({"tensors": tensors(shape=[3])}, (Differs.STRUCTURE,)),
    "a key less": ({"tensors": {}}, (Differs.BITS, Differs.STRUCTURE)),
    "output": ({"output": "beef"}, (Differs.OUTPUT,)),
    "all": (
        {"tensors": tensors("2", shape=[3]), "output": "beef", "config": {}},
        (Differs.BITS, Differs.STRUCTURE, Differs.OUTPUT, Differs.CONFIG),
    ),
}


@pytest.mark.parametrize(("change", "differs"), LOADED.values(), ids=LOADED)
def test_anything_else_that_loads_is_silent(
    change: dict[str, Any], differs: tuple[Differs, ...]
) -> None:
    found = judged(replace(WHOLE, **change))
    assert (found.fate, found.differs) == (Fate.SILENT, differs)


def test_another_config_alone_is_harmless_and_told() -> None:
    found = judged(replace(WHOLE, config={"n": "3"}))
    assert (found.fate, found.differs) == (Fate.HARMLESS, (Differs.CONFIG,))


def test_bits_do_not_hide_behind_another_device_or_name() -> None:
    elsewhere = {"w": {"shape": [2], "inner": {"qdata": {"digest": "1", "device": "meta"}}}}
    assert judged(replace(WHOLE, tensors=elsewhere)).differs == (Differs.STRUCTURE,)


def test_a_model_that_cannot_be_called_says_why() -> None:
    found = judged(replace(WHOLE, output="RuntimeError: shape (4, 8) is wrong", warned=("uh",)))
    assert (found.fate, found.differs) == (Fate.SILENT, (Differs.OUTPUT,))
    assert found.called == "RuntimeError: shape (#) is wrong"
    assert found.warned


def test_what_the_loader_raises_is_detected() -> None:
    found = judged(Reading(error=("OSError", "no file in /tmp/x y")), inspected=True)
    assert found == Result(
        CASE, "anywhere", "x", Fate.DETECTED, error="OSError: no file in <path> y", inspected=True
    )


def test_no_answer_is_no_fate() -> None:
    ended = NoResult(NoResultKind.KILLED, "the process ended by SIGSEGV")
    found = judged(Reading(no_result=ended))
    assert (found.fate, found.no_result) == (None, "killed")
    assert found.error == "the process ended by SIGSEGV"


@given(st.text(max_size=3000))
def test_a_message_is_one_short_line(message: str) -> None:
    assert len(told(message)) <= SAID
    assert "\n" not in told(message)


# The file

VERSIONS = {"torch": "2.13.0", "python": "3.11.7"}
HEADER = Header(VERSIONS, 0, {CASE: 3, OTHER: 1}, "2026-11-25T10:00:00+00:00", {})
FOUND = (
    Result(CASE, "payload-bit", "a@1.0", Fate.SILENT, differs=(Differs.BITS, Differs.OUTPUT)),
    Result(CASE, "payload-bit", "a@2.0", Fate.DETECTED, error="RuntimeError: crc", inspected=True),
    Result(CASE, "bomb", "zeros", None, no_result="killed", error="the process ended by SIGKILL"),
    Result(
        OTHER,
        "metadata-stripped",
        "all",
        Fate.SILENT,
        differs=(Differs.STRUCTURE, Differs.OUTPUT),
        called="a tensor: on the meta device",
        warned=True,
        inspected=True,
    ),
)
DAMAGE = Damage(HEADER, FOUND)


def written(path: Path, found: tuple[Result, ...] = FOUND) -> Path:
    with Writer(path, HEADER) as writer:
        for each in found:
            writer.write(each)
    return path


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    found = read(written(tmp_path / "d.jsonl"))
    assert found == DAMAGE
    assert found.complete


def test_a_file_that_was_broken_off_says_so(tmp_path: Path) -> None:
    found = read(written(tmp_path / "d.jsonl", FOUND[:2]))
    assert found.results == FOUND[:2]
    assert not found.complete
    assert headline(found).endswith("; broken off, 2 were not read")


def test_a_line_is_there_before_the_file_is_closed(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "d.jsonl", HEADER)
    writer.write(FOUND[0])
    assert read(tmp_path / "d.jsonl").results == FOUND[:1]


BAD = {
    "empty": "",
    "no json": "{",
    "another kind": json.dumps({"kind": "exchange", "schema": 1}),
    "another schema": json.dumps({"kind": "damage", "schema": 2}),
    "a fate that is none": None,
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_results_file_is_one_line(tmp_path: Path, text: str | None) -> None:
    path = written(tmp_path / "d.jsonl")
    if text is None:
        text = path.read_text(encoding="utf-8").replace('"silent"', '"loud"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="holds no results of `conformance damage`") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give a path in a folder that exists"):
        Writer(tmp_path / "none" / "d.jsonl", HEADER)


# The report


def test_the_headline_counts_everything_once() -> None:
    assert headline(DAMAGE) == (
        "2 of 4 damaged checkpoints load without an error to something else (`conformance "
        "inspect` tells 1 of them); 1 are detected, 0 harmless, 1 without a result; "
        "no pickle that executes something was tried"
    )


def test_what_was_executed_is_in_the_headline() -> None:
    refused = Result(CASE, "executes", "system", Fate.DETECTED, error="UnpicklingError: x")
    both = (refused, replace(refused, name="exec", ran=True))
    assert (
        headline(Damage(HEADER, both[:1]))
        .partition("; of ")[2]
        .startswith("1 pickles that would execute something, none did")
    )
    assert ", 1 did" in headline(Damage(HEADER, both))
    assert "executes/exec: it was executed" in to_text(shown(Damage(HEADER, both)), 200)


def test_every_kind_has_words() -> None:
    assert list(KINDS) == list(Kind)


def test_a_log_has_every_format_kind_and_oddity() -> None:
    said = to_text(shown(DAMAGE), 200)
    assert "payload-bit" in said
    assert f"{CASE} bomb/zeros: no result: killed: the process ended by SIGKILL" in said
    row = next(each for each in said.splitlines() if each.startswith("metadata-stripped"))
    assert row.split() == ["metadata-stripped", "1", "1", "0", "0", "0", "1", "1", "0", "1"]


def test_json_has_the_same_counts() -> None:
    found = as_json(DAMAGE)["formats"]
    assert found["pickle"]["payload-bit"]["silent"] == 1
    assert found["pickle"]["bomb"]["no result"] == 1
    assert found["safetensors"]["metadata-stripped"]["silent: inspect tells"] == 1


def test_the_page_is_made_of_the_results() -> None:
    said = page(DAMAGE)
    assert "| payload-bit | 1 / 2 |  |" in said
    assert "| pickle | 3 | 1 | 1 | 1 | 0 | 0 | 0 | 1 | 0 |" in said
    assert "- 1: `structure, output; called: a tensor: on the meta device`" in said


def test_other_versions_are_told_newest_first() -> None:
    refused = Result(CASE, "executes", "system", Fate.DETECTED, error="UnpicklingError: x")
    both = (refused, replace(refused, name="exec", fate=Fate.SILENT, ran=True))
    there = [
        Damage(replace(HEADER, versions={"torch": "2.5.1", "torchao": each}), both)
        for each in ("0.9.0", "0.10.0")
    ]
    rows = [each for each in page(DAMAGE, there).splitlines() if each.startswith("| 2.5.1")]
    assert rows == [
        "| 2.5.1 | 0.10.0 |  | 2 | 1 | 1 | 1 | 0 |",
        "| 2.5.1 | 0.9.0 |  | 2 | 1 | 1 | 1 | 0 |",
    ]


HOSTILE = "x`<script>alert(1)</script>`\n# a heading\x1b[31m | cell"


@given(st.sampled_from(["error", "called"]), st.text(max_size=60))
def test_a_message_stays_in_its_place(field: str, text: str) -> None:
    for said in (text, HOSTILE):
        changes: dict[str, Any] = {"fate": Fate.DETECTED, field: said}
        odd = replace(FOUND[0], **changes)
        lines = page(Damage(HEADER, (odd,))).split("\n")
        assert not [each for each in lines if each.startswith("# a")]
        for each in lines:
            assert "<script>" not in each or (each.startswith("- 1: `") and each.endswith("`"))
            assert each.count("`") % 2 == 0


# What is committed

ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "docs" / "results" / "damage.jsonl.xz"


def test_the_page_is_that_of_the_committed_results() -> None:
    text = (ROOT / "docs" / "damage.md").read_text(encoding="utf-8")
    elsewhere = [read(each) for each in COMMITTED.parent.glob("executes-*.jsonl.xz")]
    assert text == page(read(COMMITTED), elsewhere)
    assert sum(result.ran for each in elsewhere for result in each.results) == 0


def test_the_committed_results_are_whole_and_of_every_format() -> None:
    found = read(COMMITTED)
    assert found.complete
    assert {each.format for each in found.results} == set(default_formats())
    assert min(found.header.planned.values()) >= 500
    ids = [(each.case, each.kind, each.name) for each in found.results]
    assert len(set(ids)) == len(ids)
