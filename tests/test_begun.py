"""`--resume` of `damage` and `past`: what was measured is kept, nothing else is taken over."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_damage_command import CASE, all_of, broken_off, judged, ran
from typer.testing import CliRunner

from conformance import cli
from conformance.commands import past as past_command
from conformance.damage.fate import Fate, Result
from conformance.damage.results import read as read_damage
from conformance.damage.run import Job, mutation_id, remaining
from conformance.errors import UsageError
from conformance.judging.begun import Begun, begun, go_on
from conformance.past.result import Loader, Past
from conformance.past.result import read as read_past
from conformance.past.scenes import Scene, scenes

__all__ = ["ran"]

# The file


@pytest.mark.thorough
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"))),
    cut=st.integers(0, 400),
)
def test_what_is_whole_is_kept_and_written_behind(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], cut: int
) -> None:
    path = tmp_path_factory.mktemp("begun") / "r.jsonl"
    whole = "".join(f"{line}\n" for line in ["{}", *lines]).encode()
    path.write_bytes(whole[: max(3, len(whole) - cut)])
    left = begun(path)
    assert b"".join(left.lines) == whole[: left.end]
    with go_on(path, left) as file:
        file.write("more\n")
    assert path.read_bytes() == whole[: left.end] + b"more\n"


def test_some_lines_of_it_are_a_beginning() -> None:
    left = Begun((b"a\n", b"\xc3\xa4\n", b"c\n"))
    assert left.first(2).end == 5
    assert left.first(2).texts == ("a", "\xe4")


@pytest.mark.parametrize("content", [None, "", '{"kind":'], ids=["missing", "empty", "cut"])
def test_a_file_without_a_beginning_is_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=r"leave --resume out to start anew$"):
        begun(path)


# damage


def recording(asked: list[Job]) -> Callable[..., Iterator[Result]]:
    def run(jobs: list[Job], workers: int, timeout: float) -> Iterator[Result]:
        asked.extend(jobs)
        return all_of(jobs, workers, timeout)

    return run


ASKED = ("--count", "9", "--results", "r.jsonl")


@pytest.mark.thorough
def test_damage_goes_on_where_it_was_broken_off(ran: Any) -> None:
    ended = ran(*ASKED, run=broken_off)
    assert ended.exit_code == 3
    assert "partial results: r.jsonl; the same command with --resume goes on" in ended.stdout
    before = Path("r.jsonl").read_bytes()
    asked: list[Job] = []
    ended = ran(*ASKED, "--resume", run=recording(asked))
    assert ended.exit_code == 0
    assert "\nresults: r.jsonl\n" in ended.stdout
    assert sum(len(job.mutations) for job in asked) == 7
    assert Path("r.jsonl").read_bytes().startswith(before)
    found = read_damage(Path("r.jsonl"))
    assert found.complete
    assert len({each.id for each in found.results}) == len(found.results) == 9


@pytest.mark.thorough
def test_a_line_that_was_cut_is_measured_again(ran: Any) -> None:
    ran(*ASKED)
    whole = Path("r.jsonl").read_bytes()
    Path("r.jsonl").write_bytes(whole[:-20])
    asked: list[Job] = []
    ran(*ASKED, "--resume", run=recording(asked))
    assert [len(job.mutations) for job in asked] == [1]
    assert Path("r.jsonl").read_bytes() == whole


def test_what_is_whole_is_not_measured_again(ran: Any) -> None:
    ran(*ASKED)
    before, asked = Path("r.jsonl").read_bytes(), list[Job]()
    assert ran(*ASKED, "--resume", run=recording(asked)).exit_code == 0
    assert (Path("r.jsonl").read_bytes(), asked) == (before, [])


def edited(**values: object) -> None:
    header, *lines = Path("r.jsonl").read_text().splitlines()
    text = "\n".join([json.dumps(json.loads(header) | values), *lines])
    Path("r.jsonl").write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("more", "values", "said"),
    [
        (("--count", "8"), {}, f"planned {CASE.id} 9 and {CASE.id} 8"),
        (("--seed", "1"), {}, "seed 0 and 1"),
        ((), {"suite": "0.0.1"}, "suite 0.0.1 and "),
        ((), {"versions": {"torchao": "0.1"}}, "versions torchao 0.1 and "),
        ((), {"unwritten": {}}, "unwritten none and "),
    ],
)
def test_damage_of_another_run_is_left_alone(
    ran: Any, more: Sequence[str], values: dict[str, object], said: str
) -> None:
    ran(*ASKED, run=broken_off)
    edited(**values)
    before = Path("r.jsonl").read_bytes()
    ended = ran(*ASKED, *more, "--resume")
    assert f"r.jsonl cannot be resumed by this run: {said}" in str(ended.exception)
    assert str(ended.exception).endswith("give the options of the first run, or another --results")
    assert Path("r.jsonl").read_bytes() == before


def test_other_mutations_of_the_same_count_are_another_run(ran: Any) -> None:
    ran("--only", "payload-bit/*", *ASKED, run=broken_off)
    ended = ran("--only", "executes/*", *ASKED, "--resume")
    assert "it holds " in str(ended.exception)
    assert "which is not asked for now" in str(ended.exception)


def test_what_remains_is_what_is_not_done(ran: Any) -> None:
    asked: list[Job] = []
    ran(*ASKED, run=recording(asked))
    ids = [mutation_id(job, each) for job in asked for each in job.mutations]
    assert [each.id for job in asked for each in judged(job)] == ids
    (left,) = remaining(asked, set(ids[1:]))
    assert [mutation_id(left, each) for each in left.mutations] == ids[:1]
    assert remaining(asked, set(ids)) == []


# past

SOME = "over-itself/*"


def played(asked: Iterable[Scene]) -> Iterator[Past]:
    for scene in asked:
        for loader in Loader:
            for _ in range(scene.readings):
                names = (scene.id, str(scene.kind), scene.form)
                yield Past(*names, loader, Fate.HARMLESS, "new")


class Theatre:
    """Stands in for `past.run`: plays so many readings, and is then broken off."""

    def __init__(self, readings: int | None = None) -> None:
        self.readings = readings
        self.asked: list[str] = []

    def __call__(self, asked: list[Scene], _timeout: float) -> Generator[Past, None, None]:
        self.asked = [scene.id for scene in asked]
        for number, each in enumerate(played(asked)):
            if number == self.readings:
                raise KeyboardInterrupt
            yield each


def past(monkeypatch: pytest.MonkeyPatch, theatre: Theatre, *arguments: str) -> Any:
    monkeypatch.setattr(past_command, "run", theatre)
    return CliRunner().invoke(cli.app, ["past", "-s", SOME, "--results", "p.jsonl", *arguments])


CHOSEN = [scene for scene in scenes() if scene.id.startswith("over-itself/")]


@pytest.mark.parametrize(("readings", "kept"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_past_goes_on_behind_the_last_whole_scene(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, readings: int, kept: int
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = past(monkeypatch, Theatre(readings))
    assert ended.exit_code == 3
    assert "partial results: p.jsonl; the same command with --resume goes on" in ended.stdout
    assert len(read_past(Path("p.jsonl")).results) == readings
    theatre = Theatre()
    ended = past(monkeypatch, theatre, "--resume")
    assert ended.exit_code == 0
    assert theatre.asked == [scene.id for scene in CHOSEN][kept:]
    assert read_past(Path("p.jsonl")).results == tuple(played(CHOSEN))
    again = Theatre()
    assert past(monkeypatch, again, "--resume").exit_code == 0
    assert again.asked == []


def test_a_past_of_another_run_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    past(monkeypatch, Theatre(2))
    before = Path("p.jsonl").read_text()
    ended = past(monkeypatch, Theatre(), "--resume", "-s", "linked/*")
    assert ended.exit_code == 0, "more may be asked for"
    Path("p.jsonl").write_text(before.replace(CHOSEN[0].id, "over-itself/gone.pickle"))
    ended = past(monkeypatch, Theatre(), "--resume")
    assert "it holds over-itself/gone.pickle, which is not asked for now" in str(ended.exception)
    Path("p.jsonl").write_text(before.replace('"torchao":"', '"torchao":"9'))
    ended = past(monkeypatch, Theatre(), "--resume")
    assert "p.jsonl cannot be resumed by this run: versions " in str(ended.exception)
    Path("p.jsonl").write_text("{}\n")
    ended = past(monkeypatch, Theatre(), "--resume")
    assert "holds no results of `conformance past`" in str(ended.exception)
