"""A bisect over readers: one writes, each of a list reads."""

import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.environment import observed_versions
from conformance.judging.exchange import label
from conformance.judging.verdicts import Verdict
from conformance.versions import probe
from conformance.versions.bisect import Answer
from conformance.versions.environments import Environment
from conformance.versions.probe import CHECKPOINTS, ReadingProber, Step, answer
from conformance.versions.ready import Lacks, NotReady, Ready

CASE = "flux-tiny.int8wo.quantize_.state-dict.cpu"
REFUSED = "flux-tiny.int8wo.quantize_.safetensors.cpu"


def this(name: str) -> Ready:
    """This interpreter in the place of an environment."""
    environment = Environment(name, ())
    return Ready(environment, Path(), Path(sys.executable), observed_versions(), "", cached=True)


def step(name: str) -> Step:
    return Step(name, Environment(name, ()))


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def ready(environment: Environment, _: Any) -> Ready | NotReady:
        if environment.name == "none":
            return NotReady(environment, Lacks.UNRESOLVED, "no such version")
        return this(environment.name)

    monkeypatch.setattr(probe, "ready", ready)
    using: Any = None
    return lambda case: ReadingProber(case, tmp_path, using, (), writer=this("writer"))


@pytest.mark.slow
def test_what_a_reader_makes_of_it_is_a_result_like_any_other(given: Any, tmp_path: Path) -> None:
    prober = given(CASE)
    good = prober.probe(step("good")).result
    assert good.outcome.case == f"{CASE}@{label(observed_versions())}"
    assert good.judgement.verdict is Verdict.PASS
    (weights,) = (tmp_path / CHECKPOINTS).rglob("state_dict.pt")
    weights.write_bytes(weights.read_bytes()[:-100])
    bad = prober.probe(step("bad"))
    assert bad.result.judgement.verdict is Verdict.LOAD_FAILED
    assert answer(good, bad.result) is Answer.BAD
    assert list(prober.done) == ["good", "bad"]


@pytest.mark.slow
def test_what_was_not_written_cannot_be_read(given: Any) -> None:
    found = given(REFUSED).probe(step("good"))
    assert found.result is None
    assert "RuntimeError at save" in found.lacks


@pytest.mark.slow
def test_a_reader_that_cannot_be_made_is_skipped(given: Any) -> None:
    found = given(CASE).probe(step("none"))
    assert (found.result, found.lacks) == (
        None,
        "environment none does not resolve: no such version",
    )
    assert answer(given(CASE).probe(step("good")).result, found.result) is Answer.SKIPPED
