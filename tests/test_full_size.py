"""What the kept results of full size say of the bounds that hold for large models."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conformance.axes import registry
from conformance.case import all_ids, find
from conformance.judging.expectations import Expectation, active, load_expectations, packaged
from conformance.judging.judge import judge
from conformance.judging.results import Header, read_results
from conformance.roundtrip.checks import check_names, memory
from conformance.roundtrip.checks.reduction import is_asked
from conformance.roundtrip.outcome import Outcome

FILES = sorted((Path(__file__).parents[1] / "docs" / "results").glob("full-size-*.jsonl.xz"))
HELD_TWICE = "config-safetensors-held-twice"
ASKED = {
    "flux-dev.int8wo.quantize_.pickle.cpu": True,
    "flux-dev.int8wo.quantize_.pickle-sharded-10gb.cpu": True,
    "flux-dev.int8wo.torchao-config.safetensors-sharded-2gb.cpu": True,
    "cogvideox-2b.int8wo.quantize_.pickle-sharded.cpu": False,
    "flux-tiny.int8wo.quantize_.pickle.cpu": False,
}
"""Whether the files of a case are held to what its scheme promises."""


def saved(part: str = "") -> Iterator[Any]:
    """Yield every case that was saved, or those whose id has this in it."""
    for path in FILES:
        run = read_results(path)
        for case, result in run.cases.items():
            if "file_bytes" in result.outcome.measures and part in case:
                name = f"{path.name.partition('.')[0]}-{case}"
                yield pytest.param(run.header, result.outcome, id=name)


def counts_all(outcome: Outcome) -> bool:
    """CogVideoX-2b has a table of positions in no file, which was not counted at first."""
    return "buffer_bytes" in outcome.measures or not outcome.case.startswith("cogvideox-2b.")


@cache
def declared() -> tuple[Expectation, ...]:
    return load_expectations(packaged(), check_names(), all_ids())


def with_memory(outcome: Outcome) -> Outcome:
    """Return it with what the check `memory` says of it today."""
    measures = outcome.measures
    held = measures["payload_bytes"] + measures.get("buffer_bytes", 0.0)
    asked = memory.is_asked(find(outcome.case))
    found = [memory.CHECK.finding(each) for each in memory.over(measures, held) if asked]
    others = [each for each in outcome.findings if each.check != memory.CHECK.name]
    return replace(outcome, findings=(*others, *found))


@pytest.mark.parametrize(("header", "outcome"), list(saved()))
def test_memory_is_within_the_bound_but_for_a_known_defect(
    header: Header, outcome: Outcome
) -> None:
    if not counts_all(outcome):
        pytest.skip("measured before buffers were counted")
    judgement = judge(with_memory(outcome), active(declared(), header.versions))
    assert judgement.reasons == ()
    twice = ".torchao-config.safetensors" in outcome.case
    assert (HELD_TWICE in judgement.covered_by) is twice


@pytest.mark.parametrize(("_header", "outcome"), list(saved()))
def test_every_checkpoint_is_as_small_as_promised(_header: Header, outcome: Outcome) -> None:
    case, measures = find(outcome.case), outcome.measures
    if is_asked(case):
        assert measures["file_bytes"] <= case.scheme.reduction * measures["bf16_bytes"]


def test_shards_of_gigabytes_are_asked_for_their_size() -> None:
    assert {case: is_asked(find(case)) for case in ASKED} == ASKED


@pytest.mark.parametrize(("_header", "outcome"), list(saved(".int8wo.")))
def test_int8_takes_half_of_bf16_and_a_little(_header: Header, outcome: Outcome) -> None:
    measures = outcome.measures
    assert 0.50 <= measures["file_bytes"] / measures["bf16_bytes"] <= 0.52


def test_the_floor_of_a_deep_model_is_lower_by_what_was_measured() -> None:
    """What is said of it in `axes/subjects/flux.py`."""
    outcomes = [each.values[1] for each in saved(".int8wo.")]
    found = {(each.case.split(".")[0], f"{each.measures['sqnr_db']:.1f}") for each in outcomes}
    deep = {(name, db) for name, db in found if registry.subjects()[name].deeper}
    assert deep == {("flux-schnell", "28.3"), ("flux-schnell", "28.6"), ("flux-dev", "28.9")}
