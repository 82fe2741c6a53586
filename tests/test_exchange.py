"""An exchange: planned as values, run in processes, judged by pure functions."""

import json
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_in_party import scripted

from conformance.case import select
from conformance.errors import UsageError
from conformance.judging.exchange import Cell, Exchanged, Nothing, Unmeasured, labels, worth
from conformance.report.matrix import square
from conformance.roundtrip.kept import Index, Readings
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Stage,
)
from conformance.versions.exchange import Member, Plan, exchange, plan
from conformance.versions.golden import shelves
from conformance.versions.party import Absent

pytestmark = pytest.mark.thorough

CASE = "flux-tiny.int8wo.quantize_.pickle.cpu"
GLOBS = ("flux-tiny.int8wo.*.pickle.cpu",)
CASES = ("flux-tiny.int8wo.quantize_.pickle.cpu", "flux-tiny.int8wo.torchao-config.pickle.cpu")

# Verdicts


def finding(check: str, harm: Harm) -> Finding:
    return Finding(check, Stage.STRUCTURE, harm, "p", "differs", "", "")


def failed(type_: str = "RuntimeError", message: str = "no") -> Outcome:
    return Outcome(CASE, failure=Failure(Stage.LOAD, type_, message))


EQUAL = Outcome(CASE)
ALTERED = Outcome(CASE, findings=(finding("requires_grad", Harm.ALTERED),))
REFUSED = failed("ValueError", "torchao 0.15 is not supported")
FAILED = failed()
OTHER_OUTPUT = Outcome(CASE, findings=(finding("output", Harm.CORRUPT),))
CORRUPT = Outcome(CASE, findings=(finding("bits", Harm.CORRUPT), *OTHER_OUTPUT.findings))
KILLED = Outcome(CASE, no_result=NoResult(NoResultKind.KILLED, "by SIGSEGV"))
WORTH = {
    "equal": (EQUAL, Exchanged.BITS_EQUAL),
    "altered": (ALTERED, Exchanged.ALTERED),
    "refused": (REFUSED, Exchanged.REFUSED),
    "failed": (FAILED, Exchanged.FAILED),
    "other output": (OTHER_OUTPUT, Exchanged.OUTPUT_DIFFERS),
    "corrupt": (CORRUPT, Exchanged.CORRUPT),
    "corrupt, then failed": (replace(CORRUPT, failure=FAILED.failure), Exchanged.CORRUPT),
    "killed": (KILLED, None),
}
OUTCOMES = [outcome for outcome, _ in WORTH.values()]


@pytest.mark.parametrize(("outcome", "verdict"), WORTH.values(), ids=WORTH)
def test_what_a_reading_is_worth(outcome: Outcome, verdict: Exchanged | None) -> None:
    assert worth(outcome) is verdict


def cell(loader: Outcome, weights: Outcome = EQUAL, config: Outcome | None = None) -> Cell:
    return Cell(CASE, "w", "r", Readings("w", CASE, loader, weights, config))


@pytest.mark.parametrize(
    ("made", "blocked"),
    [
        (cell(FAILED, EQUAL, FAILED), "config.json"),
        (cell(REFUSED, ALTERED, REFUSED), "config.json"),
        (cell(FAILED, EQUAL, EQUAL), "loader"),
        (cell(FAILED, EQUAL), "loader"),
        (cell(CORRUPT, EQUAL), "loader"),
        (cell(FAILED, FAILED, FAILED), ""),
        (cell(FAILED, OTHER_OUTPUT, FAILED), ""),
        (cell(EQUAL, FAILED, EQUAL), ""),
        (cell(KILLED, EQUAL, FAILED), ""),
    ],
)
def test_what_stands_before_good_weights(made: Cell, blocked: str) -> None:
    assert made.blocked_by == blocked


@given(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES), st.none() | st.sampled_from(OUTCOMES))
def test_every_cell_has_an_ending_and_survives_json(
    loader: Outcome, weights: Outcome, config: Outcome | None
) -> None:
    made = cell(loader, weights, config)
    assert (made.verdict is None) != (made.unmeasured is None)
    assert square([made]).text.strip()
    assert Cell.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_a_cell_that_contradicts_its_readings_is_damaged() -> None:
    with pytest.raises(ValueError, match="another verdict than its readings"):
        Cell.from_json({**cell(FAILED).to_json(), "verdict": "bits equal"})
    with pytest.raises(ValueError, match="or a reason why it has none"):
        Cell.from_json({**cell(EQUAL).to_json(), "readings": None})


def test_labels_are_as_short_as_keeps_them_apart() -> None:
    old = {"torchao": "0.17.0", "diffusers": "0.42.1", "torch": "2.13.0"}
    new = {**old, "torchao": "0.18.0"}
    assert labels({"a": old, "b": new}) == {
        "a": "torchao0.17.0,diffusers0.42.1",
        "b": "torchao0.18.0,diffusers0.42.1",
    }
    other_torch = {**old, "torch": "2.12.0"}
    assert labels({"a": old, "b": other_torch})["b"].endswith("diffusers0.42.1,torch2.12.0")
    assert len(set(labels({"a": old, "b": dict(old)}).values())) == 2


# Running

PLAYED = """
import json, sys
from pathlib import Path
from conformance.case import select
from conformance.roundtrip.kept import Index, Readings
from conformance.roundtrip.outcome import Failure, Outcome, Stage

FAILS, DIES, VERSIONS = {fails!r}, {dies!r}, {versions!r}
if sys.argv[2].endswith("keep"):
    Path(sys.argv[3]).mkdir(exist_ok=True)
    outcomes = {{}}
    for case in select(sys.argv[6:]):
        broken = Failure(Stage.SAVE, "ValueError", "no") if case.id == FAILS else None
        outcomes[case.id] = Outcome(case.id, failure=broken)
        print(json.dumps(outcomes[case.id].to_json()), flush=True)
    Index(VERSIONS, outcomes).save(Path(sys.argv[3]))
else:
    for request in json.load(sys.stdin):
        for case in request["cases"]:
            if case == DIES:
                sys.exit("out of luck")
            got = Outcome(case)
            print(json.dumps(Readings(request["writer"], case, got, got).to_json()), flush=True)
"""


def player(name: str, fails: str = "", dies: str = "") -> Member:
    versions = {"torchao": name, "diffusers": "1"}
    return scripted(name, PLAYED.format(fails=fails, dies=dies, versions=versions), versions)


def planned(tmp_path: Path, writers: list[Member], readers: list[Member]) -> Plan:
    return plan(writers, readers, select(GLOBS), GLOBS, tmp_path, 10.0)


def endings(made: Plan) -> dict[str, str]:
    cells = list(exchange(made))
    assert len({each.id for each in cells}) == len(cells) == made.planned
    return {each.id: str(each.verdict or each.unmeasured) for each in cells}


def test_every_reader_reads_what_every_writer_wrote(tmp_path: Path) -> None:
    both = [player("1.0"), player("2.0")]
    found = endings(planned(tmp_path, both, both))
    assert set(found.values()) == {"bits equal"}
    assert f"{CASE}@torchao1.0,diffusers1>torchao2.0,diffusers1" in found


def test_a_case_that_was_not_written_is_said_for_every_reader(tmp_path: Path) -> None:
    found = endings(planned(tmp_path, [player("1.0", fails=CASE)], [player("2.0"), player("3.0")]))
    assert [each for key, each in found.items() if key.startswith(CASE)] == ["not written"] * 2
    assert list(found.values()).count("bits equal") == 2


def test_an_environment_that_is_not_there_has_its_reason_in_every_cell(tmp_path: Path) -> None:
    gone = Absent("2.0", "does not resolve")
    made = planned(tmp_path, [player("1.0"), gone], [player("1.0"), gone])
    cells = {each.id: each for each in exchange(made)}
    assert len(cells) == made.planned == 8
    nothing = cells[f"{CASE}@torchao1.0,diffusers1>2.0"].nothing
    assert nothing == Nothing(Unmeasured.NO_ENVIRONMENT, "2.0: does not resolve")
    assert sum(each.verdict is Exchanged.BITS_EQUAL for each in cells.values()) == 2


def test_a_reader_that_dies_loses_its_open_cells_only(tmp_path: Path) -> None:
    made = planned(tmp_path, [player("1.0")], [player("2.0", dies=CASES[1]), player("3.0")])
    cells = list(exchange(made))
    (lost,) = [each for each in cells if each.verdict is None]
    assert lost.id == f"{CASES[1]}@torchao1.0,diffusers1>torchao2.0,diffusers1"
    assert lost.nothing == Nothing(Unmeasured.NO_RESULT, "exit code 1: out of luck")


def test_checkpoints_of_an_earlier_run_are_used_again(tmp_path: Path) -> None:
    both = [player("1.0")]
    told: list[str] = []
    list(exchange(planned(tmp_path, both, both)))
    list(exchange(planned(tmp_path, both, both), told.append))
    assert "torchao1.0,diffusers1 wrote 2 checkpoints earlier" in told


def test_checkpoints_of_other_versions_are_not_used_again(tmp_path: Path) -> None:
    both = [player("1.0")]
    made = planned(tmp_path, both, both)
    list(exchange(made))
    place = made.place("torchao1.0,diffusers1")
    index = Index.load(place)
    Index({**index.versions, "torch": "9"}, index.cases).save(place)
    told: list[str] = []
    list(exchange(made, told.append))
    assert "torchao1.0,diffusers1 writes 2 cases" in told


ENDLESS = """
import json, os, sys, time
from pathlib import Path
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import Outcome

request, = json.load(sys.stdin)
case = request["cases"][0]
Path(request["directory"], "pid").write_text(str(os.getpid()))
print(json.dumps(Readings(request["writer"], case, Outcome(case), Outcome(case)).to_json()))
while True:
    print("chatter of a library", flush=True)
    time.sleep(0.05)
"""


def test_an_exchange_that_is_left_ends_its_processes(tmp_path: Path) -> None:
    made = planned(tmp_path, [player("1.0")], [scripted("2.0", ENDLESS)])
    cells = exchange(made)
    assert next(cells).verdict is Exchanged.BITS_EQUAL
    cells.close()
    pid = int((made.place("torchao1.0,diffusers1") / "pid").read_text())
    assert not psutil.pid_exists(pid)


def test_cells_that_are_known_are_neither_read_nor_told_again(tmp_path: Path) -> None:
    made = planned(tmp_path, [player("1.0")], [player("2.0"), player("3.0", dies=CASES[0])])
    first = {each.id: each for each in exchange(made)}
    known = [each.id for each in first.values() if each.verdict is not None]
    again = list(exchange(made, known=known))
    assert {each.id for each in again} == first.keys() - set(known)
    assert {each.reader for each in again} == {"torchao3.0,diffusers1"}


def test_a_reader_with_most_of_the_work_gets_a_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.versions.exchange.SHARE", 1)
    made = planned(tmp_path, [player("1.0")], [player("2.0"), player("3.0")])
    known = [each.id for each in exchange(made) if each.reader == "torchao3.0,diffusers1"]
    told: list[str] = []
    again = list(exchange(made, told.append, known))
    assert [(each.case, each.verdict) for each in sorted(again, key=lambda each: each.case)] == [
        (case, Exchanged.BITS_EQUAL) for case in sorted(CASES)
    ]
    read = [line for line in told if " reads " in line]
    assert read == ["torchao2.0,diffusers1 reads 1 checkpoints"] * 2


@pytest.mark.parametrize(
    ("writers", "readers", "match"),
    [
        ([], [Absent("a", "")], "--writers names no environment"),
        ([Absent("a", "")], [], "--readers names no environment"),
        ([Absent("a", ""), Absent("a", "")], [Absent("a", "")], "--writers names a twice"),
    ],
)
def test_a_plan_for_nobody_is_refused(
    writers: list[Member], readers: list[Member], match: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=match):
        planned(tmp_path, writers, readers)


def test_a_writer_and_a_reader_of_equal_versions_share_their_label(tmp_path: Path) -> None:
    (shelf,) = [each for each in shelves() if each.name == "torchao-0.13"]
    reader = scripted("same", "", shelf.versions)
    made = plan([shelf], [reader], (), (), tmp_path, 10.0)
    assert list(made.writers) == list(made.readers) == [shelf.manifest.label]


# Golden files as writers


def test_golden_files_take_part_as_what_was_written_long_ago(tmp_path: Path) -> None:
    (shelf,) = [each for each in shelves() if each.name == "torchao-0.13"]
    chosen = (shelf.manifest.cases[0], next(iter(shelf.manifest.absent)))
    made = plan([shelf], [player("9.0")], select(chosen), chosen, tmp_path, 10.0)
    there, absent = sorted(exchange(made), key=lambda each: each.verdict is None)
    assert there.id == f"{chosen[0]}@{shelf.manifest.label}>torchao9.0,diffusers1"
    assert there.verdict is Exchanged.BITS_EQUAL
    assert absent.nothing == Nothing(Unmeasured.NOT_WRITTEN, shelf.manifest.absent[chosen[1]])
