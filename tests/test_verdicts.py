"""Outcomes and what they are worth. The small outcomes made here serve the other tests too."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.judging.verdicts import (
    Verdict,
    breaks,
    is_refusal,
    stage_of,
    stage_order,
    verdict_of,
    worst,
    worst_to_best,
)
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
    Step,
)

CASE = "toy.int8.direct.pickle.cpu"
REFUSAL = "safetensors is not supported for this tensor"

texts = st.text(max_size=20) | st.sampled_from(["<b>bold</b>", "naïve ☃ \ud800", "a\nb\u2028c"])
findings = st.builds(
    Finding,
    check=st.sampled_from(["bits", "keys", "size"]) | texts,
    stage=st.sampled_from(Stage),
    harm=st.sampled_from(Harm),
    path=texts,
    what=st.sampled_from(["bits differ", "missing"]) | texts,
    wanted=texts,
    got=texts,
    reader=st.sampled_from(Reader),
)
failures = st.builds(
    Failure,
    stage=st.sampled_from(Stage),
    type=st.sampled_from(["ValueError", "RuntimeError", "safetensors.SafetensorError"]) | texts,
    message=st.sampled_from([REFUSAL, "it broke"]) | texts,
    traceback=texts,
    reader=st.sampled_from(Reader),
    leftovers=st.lists(texts, max_size=2).map(tuple),
)
no_results = st.builds(
    NoResult,
    kind=st.sampled_from(NoResultKind),
    reason=texts,
    stage=st.none() | st.sampled_from(Stage),
)
measures = st.dictionaries(texts, st.floats(allow_nan=False) | st.integers(0, 2**40), max_size=3)
outcomes = st.builds(
    Outcome,
    case=st.sampled_from([CASE, "toy.int4.direct.safetensors.cpu"]) | texts,
    steps=st.lists(
        st.builds(Step, st.sampled_from(Stage), st.floats(0, 1e6), st.sampled_from(Reader)),
        max_size=2,
    ).map(tuple),
    findings=st.lists(findings, max_size=3).map(tuple),
    failure=st.none() | failures,
    no_result=st.none() | no_results,
    storage_only=texts,
    measures=measures,
)


def raising(
    stage: Stage, type: str = "RuntimeError", message: str = "it broke", *leftovers: str
) -> Outcome:
    return Outcome(CASE, failure=Failure(stage, type, message, leftovers=leftovers))


def finding(harm: Harm = Harm.CORRUPT, stage: Stage = Stage.BITS, check: str = "bits") -> Finding:
    return Finding(check, stage, harm, "blocks.0.weight/scale", "bits differ", "1.0", "1.01")


def finding_in(*found: Finding, failure: Failure | None = None) -> Outcome:
    return Outcome(CASE, findings=found, failure=failure)


def stopped(kind: NoResultKind, reason: str = "60 s", stage: Stage | None = None) -> Outcome:
    return Outcome(CASE, no_result=NoResult(kind, reason, stage))


def test_verdicts_are_ordered_by_harm() -> None:
    assert " < ".join(reversed(worst_to_best())) == (
        "pass < refused < altered < quantize-failed < save-failed < load-failed < corrupt"
    )
    assert all(a.harm < b.harm for a, b in pairwise(Verdict))


def test_the_worst_of_none_is_a_pass() -> None:
    assert worst([]) is Verdict.PASS
    assert worst([Verdict.ALTERED, Verdict.CORRUPT, Verdict.REFUSED]) is Verdict.CORRUPT


def test_nothing_wrong_is_a_pass() -> None:
    assert verdict_of(Outcome(CASE)) is Verdict.PASS
    assert stage_of(Outcome(CASE)) is None


@pytest.mark.parametrize("stage", [Stage.QUANTIZE, Stage.SAVE])
def test_a_clear_refusal_is_refused(stage: Stage) -> None:
    assert verdict_of(raising(stage, "ValueError", REFUSAL)) is Verdict.REFUSED


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        (Stage.RESOLVE, Verdict.QUANTIZE_FAILED),
        (Stage.BUILD, Verdict.QUANTIZE_FAILED),
        (Stage.QUANTIZE, Verdict.QUANTIZE_FAILED),
        (Stage.SAVE, Verdict.SAVE_FAILED),
        (Stage.INSPECT, Verdict.LOAD_FAILED),
        (Stage.LOAD, Verdict.LOAD_FAILED),
        (Stage.RESAVE, Verdict.SAVE_FAILED),
    ],
)
def test_a_failure_is_named_by_its_stage(stage: Stage, verdict: Verdict) -> None:
    assert verdict_of(raising(stage)) is verdict
    assert stage_of(raising(stage)) is stage


def test_a_refusal_that_leaves_files_behind_is_a_failed_save() -> None:
    outcome = raising(Stage.SAVE, "ValueError", REFUSAL, "config.json")
    assert verdict_of(outcome) is Verdict.SAVE_FAILED


def test_a_refusal_to_load_what_was_written_is_a_failed_load() -> None:
    assert verdict_of(raising(Stage.LOAD, "ValueError", REFUSAL)) is Verdict.LOAD_FAILED


def test_one_corrupt_finding_outweighs_the_altered_ones() -> None:
    altered = finding(Harm.ALTERED, Stage.STRUCTURE)
    assert verdict_of(finding_in(altered)) is Verdict.ALTERED
    assert verdict_of(finding_in(altered, finding())) is Verdict.CORRUPT


def test_of_a_failure_and_a_finding_the_worse_counts() -> None:
    failure = Failure(Stage.RESAVE, "RuntimeError", "it broke")
    assert verdict_of(finding_in(finding(Harm.ALTERED), failure=failure)) is Verdict.SAVE_FAILED
    assert verdict_of(finding_in(finding(), failure=failure)) is Verdict.CORRUPT


def test_the_stage_is_the_first_that_broke_whatever_the_order() -> None:
    late, early = finding(stage=Stage.OUTPUT), finding(Harm.ALTERED, Stage.STRUCTURE)
    assert stage_of(finding_in(late, early)) is Stage.STRUCTURE


@pytest.mark.parametrize("kind", NoResultKind)
def test_no_result_is_no_verdict(kind: NoResultKind) -> None:
    outcome = stopped(kind, stage=Stage.LOAD)
    assert verdict_of(outcome) is None
    assert stage_of(outcome) is Stage.LOAD


@pytest.mark.parametrize(
    "message",
    [
        REFUSAL,
        "Unsupported tensor type: NF4Tensor",
        "Int8Tensor does not support serialization",
        "the model is quantized and is not serializable",
        "Requires mslk >= 1.0.0",
        "Only version 2 of the config is supported",
        "saving is not yet supported",
        "Please install flashpack to save",
    ],
)
def test_clear_refusals(message: str) -> None:
    assert is_refusal(Failure(Stage.SAVE, "ValueError", message))


@pytest.mark.parametrize(
    "message",
    [
        "",
        "it broke",
        "unsupported operand type(s) for +: 'int' and 'str'",
        "'Int8Tensor' object does not support item assignment",
        "Object of type dtype is not JSON serializable",
        "element 0 of tensors has no requires_grad",
        "Cannot access data pointer of Tensor that doesn't have storage",
    ],
)
def test_what_is_no_clear_refusal(message: str) -> None:
    assert not is_refusal(Failure(Stage.SAVE, "TypeError", message))


@pytest.mark.parametrize("type", ["NotImplementedError", "ImportError", "builtins.TypeError"])
def test_refusals_are_typed(type: str) -> None:
    assert is_refusal(Failure(Stage.SAVE, type, REFUSAL))


@pytest.mark.parametrize("type", ["RuntimeError", "AssertionError", "OSError", "Exception"])
def test_other_types_refuse_nothing(type: str) -> None:
    assert not is_refusal(Failure(Stage.SAVE, type, REFUSAL))


@given(outcomes)
def test_every_outcome_has_a_verdict_or_no_result(outcome: Outcome) -> None:
    verdict = verdict_of(outcome)
    assert (verdict is None) == (outcome.no_result is not None)
    if verdict is not None:
        assert (verdict is Verdict.PASS) == (not breaks(outcome))


@given(outcomes)
def test_nothing_broke_before_the_stage_that_broke(outcome: Outcome) -> None:
    stage = stage_of(outcome)
    if outcome.no_result is None and stage is not None:
        assert all(stage_order(each.stage) >= stage_order(stage) for each in breaks(outcome))
