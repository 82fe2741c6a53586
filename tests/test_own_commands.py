"""The faces of own checkpoints: what is asked, what is shown, and the exit code."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import own_checkpoints
import pytest
import torch
from safetensors.torch import save_file
from test_exchange_commands import conformance

from conformance.commands import gate_checkpoint as gate_command
from conformance.commands import own as command
from conformance.judging.results import read_results
from conformance.roundtrip import own
from conformance.roundtrip.checkpoint import Asked, record_beside
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    Outcome,
    Stage,
)
from conformance.roundtrip.own import Answer
from conformance.roundtrip.record import Record
from conformance.versions import gate_checkpoint
from conformance.versions.environments import find, load_environments
from conformance.versions.own import DiedError, Far, here
from conformance.versions.party import Party
from conformance.versions.ready import Lacks, NotReady

pytestmark = pytest.mark.thorough

GONE = Failure(Stage.LOAD, "OSError", "Unable to load weights.\nmore", "Traceback: why")
BITS = Finding("bits", Stage.BITS, Harm.CORRUPT, "a/data", "bits differ", "00", "11")
FLAG = Finding("attributes", Stage.STRUCTURE, Harm.ALTERED, "a/x", "x differs", "1", "2")
OUTPUT = Finding("output", Stage.OUTPUT, Harm.CORRUPT, "output", "output differs", "0", "1")
ACCEPTED = """
[[exception]]
name = "new-attribute"
cases = ["mine.own.*"]
changes = ["regressed"]
cause = "x differs"
reason = "The release gave the subclass an attribute."
reviewed-by = "a test"
date = 2026-01-01
"""
OLD = {"torchao": "0.17.0", "diffusers": "0.42.1"}
LOOK = "\nlook: conformance inspect {} tells who can read it, and what to do\n"
NEW = {"torchao": "0.18.0", "diffusers": "0.42.1"}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return own_checkpoints.plain(tmp_path)


@dataclass
class Environments:
    """Environments in this process: they record and verify, and may have a defect."""

    defects: dict[str, list[Callable[[Outcome], Outcome]]] = field(default_factory=dict)
    """By the torchao of who verifies: what happens to its first answers, in turn."""
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, party: Party, what: str, asked: Asked, far: Far = lambda *_: None) -> Answer:
        far("loading", 1, 2)
        version = party.versions["torchao"]
        self.asked.append((version, what, asked.path.name))
        answer = {"record": own.record, "verify": own.verify}[what](asked)
        if what == "record" and answer.outcome.failure is None:
            made = Record.read(asked.record)
            replace(made, versions=dict(party.versions)).write(asked.record)
        waiting = self.defects.get(version, []) if what == "verify" else []
        outcome = waiting.pop(0)(answer.outcome) if waiting else answer.outcome
        return replace(answer, outcome=outcome, versions=dict(party.versions))


def found(*findings: Finding) -> Callable[[Outcome], Outcome]:
    return lambda outcome: replace(outcome, findings=findings)


def failed(outcome: Outcome) -> Outcome:
    return replace(outcome, failure=GONE)


def died(_: Outcome) -> Outcome:
    raise DiedError("the process died while loading: exit code -9: it said nothing")


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> Environments:
    there = Environments()
    versions: Mapping[str, Mapping[str, str]] = {"torchao0.17.0": OLD, "torchao0.18.0": NEW}

    def party(_: object, name: str) -> Party:
        return Party(name, versions[name], lambda *_, **__: pytest.fail("nothing is started"))

    monkeypatch.setattr(gate_checkpoint, "ask", there)
    monkeypatch.setattr(gate_command, "made_ready", lambda wanted: {each: each for each in wanted})
    monkeypatch.setattr(gate_command, "party_of", party)
    monkeypatch.setattr(command, "ask", there)
    monkeypatch.setattr(command, "here", lambda: Party("here", NEW, here().start))
    return there


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def first(self) -> str:
        return self.out.splitlines()[0]


Run = Callable[..., Said]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: object) -> Said:
        code = conformance(monkeypatch, *map(str, arguments))
        printed = capfd.readouterr()
        return Said(code, printed.out, printed.err)

    return ran


# record and verify


@pytest.mark.usefixtures("environments")
def test_record_says_what_and_where_and_writes_over_nothing(run: Run, mine: Path) -> None:
    done = run("record", mine)
    assert done.code == 0
    assert done.out == (
        f"{mine} is recorded in {record_beside(mine)}: 2 tensors, 0 quantized, 72 bytes; "
        "outputs not compared: a plain state dict computes nothing.\n"
    )
    assert done.err == "loading, 1 byte of 2 bytes\n"
    before = record_beside(mine).read_bytes()
    again = run("record", mine)
    assert again.code == 2
    assert "is there already; verify it, or give --replace" in again.err
    assert record_beside(mine).read_bytes() == before
    assert run("record", mine, "--replace").code == 0


@pytest.mark.usefixtures("environments")
def test_verify_answers_in_its_first_line(run: Run, mine: Path) -> None:
    run("record", mine)
    done = run("verify", mine.name)
    assert done.code == 0
    assert done.first == (
        f"{mine} comes back with every bit (2 tensors, 0 quantized, 72 bytes); "
        "outputs not compared: a plain state dict computes nothing."
    )
    assert "✓" not in done.out, "no ladder where all is well"


@pytest.mark.parametrize(
    ("defect", "words", "code"),
    [
        (found(BITS), "loads to something else: bits: bits differ", 1),
        (found(FLAG), "and not as it was otherwise: attributes: x differs", 1),
        (failed, "cannot be read here: OSError: Unable to load weights", 1),
    ],
    ids=["bits", "attributes", "failed"],
)
def test_what_does_not_come_back_is_shown(
    run: Run,
    mine: Path,
    environments: Environments,
    defect: Callable[[Outcome], Outcome],
    words: str,
    code: int,
) -> None:
    run("record", mine)
    environments.defects["0.18.0"] = [defect, defect]
    done = run("verify", mine)
    assert (done.code, words in done.first) == (code, True), done.first
    assert "✗" in done.out
    assert ("cannot be read" in done.first) == done.out.endswith(LOOK.format(mine))
    assert "not as expected" not in done.out
    answer = json.loads(run("verify", mine, "--json").out)
    assert (answer["headline"], answer["versions"]) == (done.first, NEW)


@pytest.mark.usefixtures("environments")
def test_another_checkpoint_is_no_answer(run: Run, mine: Path) -> None:
    run("record", mine)
    save_file({"a": torch.arange(8), "b": torch.zeros(2)}, mine)
    done = run("verify", mine)
    assert done.code == 3
    assert done.first == (
        f"{mine} is another checkpoint than the recorded one: "
        "mine.safetensors changed: 1 of 2 tensors and notes differ: b."
    )


def test_a_process_that_dies_is_no_answer(run: Run, mine: Path, environments: Environments) -> None:
    run("record", mine)
    environments.defects["0.18.0"] = [died]
    done = run("verify", mine)
    assert (done.code, done.out) == (3, "")
    assert "Inconclusive: the process died while loading: exit code -9" in done.err


@pytest.mark.usefixtures("environments")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "mine.safetensors"), "conformance record"),
        (("record", "gone"), "is not there"),
        (("record", "mine.safetensors", "--inputs", "gone.py:f"), "gone.py is not there"),
        (("gate", "--checkpoint", "mine.safetensors"), "--candidate ENV"),
        (("gate", "--candidate", "torchao0.18.0"), "--baseline ENV"),
        (
            ("gate", "--checkpoint", "gone", "--candidate", "torchao0.18.0"),
            "is not there",
        ),
        (
            ("gate", "--checkpoint", "x", "--candidate", "torchao0.18.0", "-s", "flux*"),
            "leave --select",
        ),
        (
            ("gate", "--baseline", "torchao0.17.0", "--candidate", "x", "--class", "flux"),
            "--class and --inputs are for --checkpoint",
        ),
    ],
)
@pytest.mark.usefixtures("mine")
def test_bad_input_is_one_line(run: Run, arguments: Sequence[str], words: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert done.err.count("\n") == 1


# gate --checkpoint

GATE = ("--baseline", "torchao0.17.0", "--candidate", "torchao0.18.0", "--results", "g")


def test_a_gate_that_nothing_blocks(
    run: Run, mine: Path, environments: Environments, tmp_path: Path
) -> None:
    done = run("gate", "--checkpoint", mine, *GATE)
    assert done.code == 0
    assert done.first == ("torchao 0.17.0 -> 0.18.0 is compatible: none of 1 case breaks; 1 same.")
    assert environments.asked == [
        ("0.17.0", "record", "mine.safetensors"),
        ("0.17.0", "verify", "mine.safetensors"),
        ("0.18.0", "verify", "mine.safetensors"),
    ]
    assert not record_beside(mine).exists(), "the record of a gate lies with its results"
    assert (tmp_path / "g" / "mine.record.json").exists()
    assert json.loads((tmp_path / "g" / "gate.json").read_text())["decision"] == "compatible"
    assert "## " in (tmp_path / "g" / "gate.md").read_text()


@pytest.mark.parametrize(
    "defect",
    [found(BITS), found(FLAG), found(OUTPUT), failed],
    ids=["bits", "attributes", "output", "failed"],
)
def test_what_breaks_blocks_when_it_breaks_twice(
    run: Run,
    mine: Path,
    environments: Environments,
    tmp_path: Path,
    defect: Callable[[Outcome], Outcome],
) -> None:
    environments.defects["0.18.0"] = [defect, defect]
    done = run("gate", "--checkpoint", mine, *GATE)
    assert done.code == 1
    assert done.first == ("Do not upgrade torchao 0.17.0 -> 0.18.0: 1 cause breaks 1 of 1 case.")
    assert "✗" in done.out
    assert (defect is failed) == (LOOK.format(mine) in done.out)
    assert done.out.endswith("\nreport: g/report.html\n")
    drawn = (tmp_path / "g" / "report.html").read_text()
    assert "conformance inspect PATH" in drawn
    assert "conformance repro mine" not in drawn
    assert [each[:2] for each in environments.asked][2:] == [("0.18.0", "verify")] * 2
    retry = read_results(tmp_path / "g" / "retry.jsonl")
    assert list(retry.cases) == ["mine.own.recorded.state-dict-safetensors.cpu"]


def test_what_was_reviewed_does_not_block(
    run: Run, mine: Path, environments: Environments, tmp_path: Path
) -> None:
    environments.defects["0.18.0"] = [found(FLAG), found(FLAG)]
    accept = tmp_path / "reviewed.toml"
    accept.write_text(ACCEPTED)
    done = run("gate", "--checkpoint", mine, *GATE, "--accept", accept)
    assert (done.code, "1 accepted" in done.first) == (0, True)


def test_what_breaks_once_is_flaky(run: Run, mine: Path, environments: Environments) -> None:
    environments.defects["0.18.0"] = [failed]
    done = run("gate", "--checkpoint", mine, *GATE)
    assert (done.code, "1 flaky" in done.first) == (0, True)


def test_a_candidate_that_dies_loses_the_checkpoint(
    run: Run, mine: Path, environments: Environments, tmp_path: Path
) -> None:
    environments.defects["0.18.0"] = [died, died]
    done = run("gate", "--checkpoint", mine, *GATE)
    assert (done.code, "no case was measured on both sides" in done.first) == (3, True)
    assert "exit code -9" in done.out
    save_file({"z": torch.ones(3)}, tmp_path / "other.safetensors")
    environments.defects["0.18.0"] = [died]
    both = ("--checkpoint", mine, "--checkpoint", tmp_path / "other.safetensors")
    assert "none of 2 cases breaks; 1 flaky; 1 same" in run("gate", *both, *GATE).first
    environments.defects["0.18.0"] = [died, found(), died]
    done = run("gate", *both, *GATE)
    assert (done.code, "Do not upgrade" in done.first, "1 lost" in done.first) == (1, True, True)


def test_without_a_baseline_the_record_counts(
    run: Run, mine: Path, environments: Environments
) -> None:
    run("record", mine)
    recorded = record_beside(mine).read_bytes()
    environments.asked.clear()
    environments.defects["0.18.0"] = [failed, failed]
    done = run("gate", "--checkpoint", mine, *GATE[2:])
    assert (done.code, done.first[:14]) == (1, "Do not upgrade")
    assert {each[1] for each in environments.asked} == {"verify"}
    assert record_beside(mine).read_bytes() == recorded


def test_what_the_baseline_cannot_read_is_no_answer(
    run: Run, tmp_path: Path, environments: Environments
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    done = run("gate", "--checkpoint", bad, *GATE)
    assert done.code == 3
    assert done.first.startswith(f"Inconclusive: the baseline cannot read {bad}: ValueError: ")
    assert environments.asked == [("0.17.0", "record", "bad.safetensors")]
    assert "--resume" not in done.out


@pytest.mark.usefixtures("environments")
def test_a_gate_on_another_checkpoint_is_no_answer(run: Run, mine: Path) -> None:
    run("record", mine)
    save_file({"a": torch.arange(9)}, mine)
    done = run("gate", "--checkpoint", mine, *GATE[2:])
    assert done.code == 3
    assert f"Inconclusive: {mine} is another checkpoint than the recorded one: " in done.first
    assert "record it again where it is known to be good" in done.first


@pytest.mark.usefixtures("environments")
def test_an_environment_that_cannot_be_is_no_answer(
    run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_environments(None)
    lacking = NotReady(find("torchao0.18.0", known), Lacks.UNRESOLVED, "no such version")
    monkeypatch.setattr(gate_command, "made_ready", lambda wanted: dict.fromkeys(wanted, lacking))
    done = run("gate", "--checkpoint", mine, *GATE, "--json")
    assert done.code == 3
    answer = json.loads(done.out)
    assert (answer["decision"], "no such version" in answer["headline"]) == ("inconclusive", True)


@pytest.mark.usefixtures("environments")
def test_several_checkpoints_need_names_of_their_own(run: Run, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "more.safetensors"
    save_file({"z": torch.ones(3)}, other)
    both = ("--checkpoint", mine, "--checkpoint", other)
    assert "none of 2 cases breaks" in run("gate", *both, *GATE).first
    twin = other.rename(other.with_name(mine.name))
    twice = run("gate", "--checkpoint", mine, "--checkpoint", twin, *GATE)
    assert (twice.code, "two checkpoints are called mine" in twice.err) == (2, True)
