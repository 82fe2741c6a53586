"""Runs in parts: shards join to the whole run or are refused; a broken run goes on."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from typer.testing import CliRunner

from conformance.case import Case, default_cases
from conformance.cli import app
from conformance.commands import run as run_command
from conformance.environment import hardware, observed_versions
from conformance.errors import UsageError
from conformance.judging.judge import judge
from conformance.judging.parts import merged_header, read_begun
from conformance.judging.results import (
    Header,
    Results,
    ResultsWriter,
    Selection,
    load_schema,
    read_results,
)
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome
from conformance.selection import part
from conformance.session import Session, current_expectations
from conformance.shard import Shard

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)
CASES = default_cases()[:200]
VERSIONS, MACHINE = {"torchao": "0.18.0"}, {"gpu": "none", "python": "3.11.1", "memory": "8 GiB"}


def header(shard: str = "1/2", planned: int = 1) -> Header:
    selection = Selection(("toy.*",), (), shard=Shard.parse(shard))
    return Header.now(VERSIONS, MACHINE, selection, planned, lambda: NOON)


def write(path: Path, head: Header, *cases: str) -> Path:
    with ResultsWriter(path, head) as writer:
        for case in cases:
            writer.write(Outcome(case), judge(Outcome(case), []))
    return path


def shards(folder: Path, *heads: Header, cases: Iterable[str] = "abc") -> dict[str, Results]:
    names = list(cases)
    paths = [write(folder / f"{names[i]}.jsonl", each, names[i]) for i, each in enumerate(heads)]
    return {path.name: read_results(path) for path in paths}


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "1/2/3", "-1/2", "1/ 2", "a/b", ""])
def test_what_is_no_shard_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="write part and parts, from 1/4 to 4/4"):
        Shard.parse(text)


@given(st.integers(1, 6))
def test_shards_have_every_case_once_and_keep_groups(count: int) -> None:
    dealt = [part(CASES, Shard(count, index)) for index in range(1, count + 1)]
    assert sorted(case.id for each in dealt for case in each) == sorted(case.id for case in CASES)
    groups = [{case.group for case in each} for each in dealt]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_a_run_without_shards_is_whole() -> None:
    assert part(CASES, None) == CASES


def test_the_order_of_the_cases_of_a_shard_is_that_of_the_run() -> None:
    dealt = part(CASES, Shard(2, 2))
    assert dealt == [case for case in CASES if case in dealt]


def test_more_shards_than_groups_are_said() -> None:
    one = [case for case in CASES if case.group == CASES[0].group]
    with pytest.raises(UsageError, match="shard 2/2 is empty: there are 1 groups"):
        part(one, Shard(2, 2))


def test_the_header_says_which_shard(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", header("2/3"), "a")
    first = json.loads(path.read_text().splitlines()[0])
    assert first["selection"]["shard"] == "2/3"
    assert read_results(path).header.selection.shard == Shard(3, 2)
    assert Draft202012Validator(load_schema()).is_valid(first)
    first["selection"]["shard"] = "2"
    assert not Draft202012Validator(load_schema()).is_valid(first)
    path.write_text(json.dumps(first) + "\n" + "".join(path.read_text().splitlines(True)[1:]))
    with pytest.raises(UsageError, match="is damaged: bad header line"):
        read_results(path)


def test_the_header_of_a_whole_run_is_what_it_was() -> None:
    assert "shard" not in Header.now({}, {}, Selection(), 0).to_json()["selection"]


def test_shards_join(tmp_path: Path) -> None:
    late = replace(header("1/2"), started="2026-01-02T13:00:00+00:00")
    other = {**MACHINE, "memory": "16 GiB"}
    merged = merged_header(shards(tmp_path, late, replace(header("2/2"), hardware=other)))
    assert merged.selection == Selection(("toy.*",))
    assert (merged.planned, merged.started) == (2, "2026-01-02T12:00:00+00:00")
    assert merged.hardware == {**MACHINE, "memory": "8 GiB | 16 GiB"}


ONE = header("1/2")


@pytest.mark.parametrize(
    ("heads", "line"),
    [
        ((ONE,), "no file is shard 2/2; run it"),
        ((header("2/4"),), "no file is shard 1/4, 3/4, 4/4; run it"),
        ((ONE, ONE), r"a\.jsonl and b\.jsonl are both shard 1/2; give one"),
        ((ONE, header("2/3")), "not of one run: shard 1/2 and 2/3"),
        ((ONE, replace(header("2/2"), suite="9")), r"not of one run: suite .* and 9;"),
        (
            (ONE, replace(header("2/2"), versions={"torchao": "0.17.0"})),
            r"not of one run: torchao 0\.18\.0 and 0\.17\.0;",
        ),
        (
            (ONE, replace(header("2/2"), versions={**VERSIONS, "mslk": "1"})),
            "not of one run: mslk none and 1;",
        ),
        (
            (ONE, replace(header("2/2"), hardware={**MACHINE, "gpu": "H100"})),
            "not of one run: gpu none and H100;",
        ),
        (
            (ONE, replace(header("2/2"), selection=Selection(("b*",), shard=Shard(2, 2)))),
            "not of one run: other globs, markers or device;",
        ),
        ((replace(ONE, selection=Selection()), header("2/2")), r"a\.jsonl is no shard"),
        ((ONE, header("2/2", planned=3)), r"b\.jsonl is partial: 1 of 3 cases; finish it"),
    ],
)
def test_what_is_no_whole_run_is_said_in_one_line(
    tmp_path: Path, heads: tuple[Header, ...], line: str
) -> None:
    with pytest.raises(UsageError, match=line) as raised:
        merged_header(shards(tmp_path, *heads))
    assert len(str(raised.value).splitlines()) == 1


def test_a_case_in_two_shards_is_said(tmp_path: Path) -> None:
    files = {
        name: read_results(write(tmp_path / name, header(shard), "a"))
        for name, shard in (("a.jsonl", "1/2"), ("b.jsonl", "2/2"))
    }
    with pytest.raises(UsageError, match=r"the case a is in a\.jsonl and in b\.jsonl"):
        merged_header(files)


def invoke(*arguments: Any) -> tuple[int, str]:
    ended = CliRunner().invoke(app, [str(each) for each in arguments])
    if isinstance(ended.exception, UsageError):
        return 2, str(ended.exception)
    return ended.exit_code, ended.stdout


@pytest.mark.thorough
def test_merge_writes_what_the_whole_run_would_have(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "1.jsonl", header("1/2"), CASES[0].id),
        write(tmp_path / "2.jsonl", header("2/2"), CASES[-1].id),
    ]
    code, printed = invoke("merge", *paths, "-o", tmp_path / "all.jsonl")
    assert code == 0
    assert "2 of 2 cases were measured; all are as expected" in printed
    whole = read_results(tmp_path / "all.jsonl")
    assert whole.footer.complete
    assert list(whole.cases) == [CASES[0].id, CASES[-1].id]
    assert whole.footer.finished == max(read_results(each).footer.finished for each in paths)


@pytest.mark.thorough
def test_merge_of_a_whole_run_names_unused_expectations(tmp_path: Path) -> None:
    everything = [case.id for case in default_cases()]
    paths = []
    for name, cases in (("1/2", everything[:900]), ("2/2", everything[900:])):
        path = tmp_path / f"{name[0]}.jsonl"
        with ResultsWriter(path, header(name, len(cases))) as writer:
            for case in cases:
                gone = NoResult(NoResultKind.SKIPPED, "no kernel") if ".nf4." in case else None
                outcome = Outcome(case, no_result=gone)
                writer.write(outcome, judge(outcome, []))
        paths.append(path)
    mine = tmp_path / "mine.toml"
    mine.write_text(
        """[[expectation]]
name = "of-skipped-only"
kind = "known-bug"
cases = ["*.nf4.*.cpu"]
stage = "bits"
check = "bits"
what = "bits differ"
reason = "It is broken."
issue = "https://example.org/1"
"""
    )
    output = tmp_path / "all.jsonl"
    code, printed = invoke("merge", *paths, "-o", output, "--expectations", mine)
    assert code == 1
    assert "unused expectation: of-skipped-only" in printed
    assert "of-skipped-only" in read_results(output).footer.unused


def test_merge_never_writes_over_a_shard(tmp_path: Path) -> None:
    path = write(tmp_path / "1.jsonl", header("1/1"), "a")
    before = path.read_bytes()
    assert invoke("merge", path, "-o", path)[0] == 2
    assert invoke("merge", path, path, "-o", tmp_path / "all.jsonl")[0] == 2
    assert path.read_bytes() == before


def test_a_file_cut_anywhere_keeps_every_whole_case(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", header(planned=3), "a", "b")
    whole = path.read_bytes()
    first, one, two, _ = whole.splitlines(keepends=True)
    ends = [len(first), len(first + one), len(first + one + two)]
    for length in range(len(first), len(whole) + 1):
        path.write_bytes(whole[:length])
        begun = read_begun(path)
        held = sum(length >= end for end in ends) - 1
        assert list(begun.cases) == ["a", "b"][:held]
        assert begun.end == ends[held]


def test_a_file_without_a_whole_header_cannot_be_resumed(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", header(), "a")
    first = path.read_bytes().splitlines(keepends=True)[0]
    for content in (b"", first[:-1], b"{"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="no whole first line; leave --resume out"):
            read_begun(path)
    with pytest.raises(UsageError, match=r"cannot resume .*: No such file"):
        read_begun(tmp_path / "gone.jsonl")


def test_damage_in_the_middle_is_never_cut_away(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", header(planned=2), "a", "b")
    first, one, two, last = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"{\n", two, last):
        path.write_bytes(first + one + damaged + two)
        with pytest.raises(UsageError, match=r"is damaged|holds the case b twice"):
            read_begun(path)


def test_a_file_goes_on_behind_its_last_whole_case(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", header(planned=2), "a")
    kept = b"".join(path.read_bytes().splitlines(keepends=True)[:2])
    path.write_bytes(kept + b'{"line": "ca')
    begun = read_begun(path)
    with ResultsWriter(path, begun.header, begun=begun) as writer:
        assert [each.case for each in writer.held] == ["a"]
        with pytest.raises(ValueError, match="written already"):
            writer.write(Outcome("a"), judge(Outcome("a"), []))
        writer.write(Outcome("b"), judge(Outcome("b"), []))
    assert path.read_bytes().startswith(kept)
    results = read_results(path)
    assert list(results.cases) == ["a", "b"]
    assert results.footer.complete


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases that a run was asked to measure; each of them passes."""
    asked: list[str] = []

    def run(cases: Iterable[Case], *_: Any) -> Any:
        for case in cases:
            asked.append(case.id)
            yield Outcome(case.id)

    monkeypatch.setattr(run_command, "run_cases", run)
    monkeypatch.setattr(run_command, "current_expectations", lambda _: ())
    return asked


GLOBS = ("run", "-s", "flux-tiny.int8wo.*.cpu")


@pytest.mark.thorough
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path, ran: list[str]) -> None:
    path = tmp_path / "r.jsonl"
    assert invoke(*GLOBS, "--results", path)[0] == 0
    everything, whole = list(ran), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:4]) + whole[4][:40])
    ran.clear()
    code, printed = invoke(*GLOBS, "--results", path, "--resume")
    assert (code, ran) == (0, everything[3:])
    assert f"{len(everything)} of {len(everything)} cases were measured" in printed
    assert path.read_bytes().splitlines(keepends=True)[:-1] == whole[:-1]
    assert read_results(path).footer.complete


@pytest.mark.thorough
def test_a_finished_run_has_nothing_left(tmp_path: Path, ran: list[str]) -> None:
    path = tmp_path / "r.jsonl"
    invoke(*GLOBS, "--results", path)
    ran.clear()
    assert invoke(*GLOBS, "--results", path, "--resume")[0] == 0
    assert ran == []
    assert read_results(path).footer.complete


@pytest.mark.thorough
def test_shards_run_and_merge_to_the_whole(tmp_path: Path, ran: list[str]) -> None:
    globs = ("run", "-s", "flux-tiny.int8*.cpu")
    paths = [tmp_path / f"{index}.jsonl" for index in (1, 2)]
    for index, path in enumerate(paths, 1):
        assert invoke(*globs, "--shard", f"{index}/2", "--results", path)[0] == 0
    dealt = sorted(ran)
    assert invoke("merge", *paths, "-o", tmp_path / "all.jsonl")[0] in (0, 1)
    ran.clear()
    invoke(*globs, "--results", tmp_path / "whole.jsonl")
    whole, merged = (read_results(tmp_path / name) for name in ("whole.jsonl", "all.jsonl"))
    assert dealt == sorted(ran) == sorted(merged.cases)
    assert merged.header.selection == whole.header.selection
    assert merged.header.planned == whole.header.planned


def begun_with(path: Path, head: Header, case: str) -> None:
    outcome = Outcome(case)
    with ResultsWriter(path, head) as writer:
        writer.write(outcome, judge(outcome, []))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"versions": {"torchao": "0.1"}}, "torchao 0.1 and "),
        ({"suite": "9.0"}, "suite 9.0 and "),
        ({"hardware": {"gpu": "H100"}}, "gpu H100 and "),
        ({"selection": Selection(("flux-*",))}, "other globs, markers or device"),
        ({"selection": Selection((GLOBS[2],), shard=Shard(2, 1))}, "shard 1/2 and 1/1"),
        ({"planned": 99}, "99 planned cases and "),
    ],
)
def test_another_run_is_not_resumed_and_not_touched(
    tmp_path: Path, ran: list[str], change: Mapping[str, Any], line: str
) -> None:
    path = tmp_path / "r.jsonl"
    now = Header.now(dict(observed_versions()), dict(hardware()), Selection((GLOBS[2],)), 10)
    if "hardware" in change:
        change = {"hardware": {**now.hardware, **change["hardware"]}}
    if "versions" in change:
        change = {"versions": {**now.versions, **change["versions"]}}
    begun_with(path, replace(now, **change), "flux-tiny.int8wo.quantize_.pickle.cpu")
    before = path.read_bytes()
    code, said = invoke(*GLOBS, "--results", path, "--resume")
    assert (code, ran, path.read_bytes()) == (2, [], before)
    assert line in said
    assert len(said.splitlines()) == 1


@pytest.mark.thorough
@pytest.mark.usefixtures("ran")
def test_other_expectations_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.jsonl"
    invoke(*GLOBS, "--results", path)
    known = current_expectations()
    assert any(each.about("flux-tiny.int8wo.quantize_.safetensors.cpu") for each in known)
    monkeypatch.setattr(run_command, "current_expectations", lambda _: known)
    code, said = invoke(*GLOBS, "--results", path, "--resume")
    assert code == 2
    assert "was judged by other expectations" in said


def test_a_session_knows_what_is_left() -> None:
    session = Session(tuple(CASES[:3]), ())
    session.add(Outcome(CASES[1].id))
    assert session.remaining == (CASES[0], CASES[2])
