"""A run leaves its checkpoints for others to read, as if it had done nothing but write them."""

from pathlib import Path

import pytest
from test_exchange import FAILED, KILLED
from test_parts import invoke

from conformance.case import find
from conformance.environment import hardware, observed_versions
from conformance.judging.exchanged import written_by
from conformance.judging.judge import judge
from conformance.judging.results import Footer, Header, Result, Results, Selection
from conformance.judging.summary import tally
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.kept import INDEX, Index, Keep, Request
from conformance.roundtrip.outcome import Failure, Outcome, Stage
from conformance.roundtrip.readback import read_back
from conformance.roundtrip.record import ORACLE, RECORD

pytestmark = pytest.mark.thorough

CASE = find("flux-tiny.int8wo.quantize_.state-dict.cpu")
NEIGHBOUR = find("flux-tiny.int8wo.quantize_.state-dict-mmap.cpu")
UNSAVED = Outcome("u", failure=Failure(Stage.SAVE, "ValueError", "no"))


def checkpoint(place: Path, *names: str) -> Path:
    """Make a place where a case was verified."""
    (place / "checkpoint").mkdir(parents=True)
    for name in ("checkpoint/weights", *names):
        (place / name).write_text(name)
    return place


def files(directory: Path) -> list[str]:
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def test_a_checkpoint_is_moved_with_its_record_and_nothing_else(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "kept")
    keep.take("a", checkpoint(tmp_path / "1", RECORD, ORACLE, "left by a reader"))
    assert files(keep.directory) == ["a/checkpoint/weights", f"a/{ORACLE}", f"a/{RECORD}"]
    assert files(tmp_path / "1") == ["left by a reader"]
    assert keep.has("a")


def test_what_has_no_record_was_not_written_and_replaces_what_was(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "kept")
    keep.take("a", checkpoint(tmp_path / "1", RECORD))
    keep.take("a", checkpoint(tmp_path / "2"))
    assert not keep.has("a")
    assert files(keep.directory) == []


def test_only_what_is_wanted_is_kept(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "kept", ("flux.*", "b"))
    for name in ("flux.x", "b", "cogvideox.x"):
        keep.take(name, checkpoint(tmp_path / name, RECORD))
    assert [keep.has(name) for name in ("flux.x", "b", "cogvideox.x")] == [True, True, False]


def results(*outcomes: Outcome) -> Results:
    header = Header.now(observed_versions(), hardware(), Selection(), len(outcomes))
    cases = {each.case: Result(each, judge(each, ())) for each in outcomes}
    return Results(header, cases, Footer(tally(r.judgement for r in cases.values()), (), True, ""))


def test_the_index_tells_what_was_saved_whatever_became_of_it() -> None:
    failed = Outcome("f", failure=FAILED.failure)
    killed = Outcome("k", no_result=KILLED.no_result)
    index = written_by(results(failed, UNSAVED, killed, Outcome("p")), lambda _: True)
    assert index.written == ("f", "p")
    assert index.cases["u"] == UNSAVED
    assert index.cases["k"] == killed


def test_what_was_saved_and_is_gone_is_not_in_the_index() -> None:
    index = written_by(results(Outcome("p"), UNSAVED), lambda _: False)
    assert list(index.cases) == ["u"]


def test_an_engine_leaves_what_a_reader_reads_as_it_was_saved(tmp_path: Path) -> None:
    keep = Keep(tmp_path)
    with Engine(keep=keep) as engine:
        outcomes = [engine.run(case) for case in (CASE, NEIGHBOUR)]
    assert [each.findings for each in outcomes] == [(), ()]
    request = Request("w", tmp_path, (CASE.id, NEIGHBOUR.id))
    for readings in read_back([request]):
        assert (readings.loader.failure, readings.loader.no_result) == (None, None)
        assert readings.loader.findings == ()
        assert [step.stage for step in readings.loader.steps][-1] is Stage.OUTPUT


def test_the_command_writes_the_index_and_no_older_one_stays(tmp_path: Path) -> None:
    keep, unwritable = tmp_path / "kept", tmp_path / "file"
    Index(observed_versions(), {"old": Outcome("old")}).save(_made(keep))
    run = ("run", "-s", CASE.id, "--results", tmp_path / "r.jsonl", "--keep", keep)
    assert invoke(*run)[0] == 0
    assert list(Index.load(keep).cases) == [CASE.id]
    assert Index.load(keep).versions == observed_versions()
    assert invoke(*run, "--keep-only", NEIGHBOUR.id)[0] == 0
    assert files(keep) == [INDEX]
    unwritable.touch()
    code, said = invoke(*run[:-1], unwritable)
    assert (code, said.endswith("give --keep another directory")) == (2, True)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
