"""Between two releases a difference of structure is harm only if bits or outputs differ."""

from dataclasses import replace
from typing import Any

import pytest

from conformance.roundtrip.facts import Inner, ModelFacts, TensorFacts
from conformance.roundtrip.outcome import Finding, Harm, Stage
from conformance.roundtrip.settle import bits_kept, condensed, excused, settled

KEY = "proj.weight"


def inner(digest: str, **changes: Any) -> Inner:
    return replace(Inner("torch.int8", (2,), (1,), "cpu", 2, digest), **changes)


def model(subclass: str = "Int8Tensor", **inners: Inner) -> ModelFacts:
    facts = TensorFacts(
        "parameter", subclass, "torch.int8", (2,), (1,), False, {"block_size": 1}, inners
    )
    return ModelFacts({KEY: facts}, ())


WROTE = model(qdata=inner("a"), scale=inner("b"))


@pytest.mark.parametrize(
    "got",
    [
        WROTE,
        model("Int8TensorV3", data=inner("a"), scale=inner("b")),
        model(qdata=inner("a"), scale=inner("b"), zero_point=inner("c")),
    ],
    ids=["identity", "renamed", "one more"],
)
def test_bits_are_kept_under_other_names(got: ModelFacts) -> None:
    assert bits_kept(WROTE, got)


@pytest.mark.parametrize(
    "got",
    [
        model(qdata=inner("a")),
        model(qdata=inner("a"), scale=inner("c")),
        model(qdata=inner("a"), scale=inner("", device="meta")),
        model(qdata=inner("a"), scale=inner("b", dtype="torch.uint8")),
        ModelFacts({}, ()),
    ],
    ids=["lost", "flipped", "on meta", "another dtype", "no key"],
)
def test_bits_that_are_not_kept(got: ModelFacts) -> None:
    assert not bits_kept(WROTE, got)


def test_two_equal_tensors_are_not_kept_by_one() -> None:
    twice = model(qdata=inner("a"), scale=inner("a"))
    assert not bits_kept(twice, model(qdata=inner("a")))


def finding(check: str, path: str, what: str) -> Finding:
    return Finding(check, Stage.STRUCTURE, Harm.CORRUPT, path, what, "", "")


SUBCLASS = finding("subclass", KEY, "tensor subclass differs")
CHANGED = finding("attributes", f"{KEY}/block_size", "block_size differs")
NEW = finding("attributes", f"{KEY}/reduce_range", "reduce_range differs")
MORE = finding("bits", f"{KEY}/zero_point", "inner tensor is unexpected")
OUTPUT = finding("output", "output", "output differs")
EVERYTHING = (SUBCLASS, CHANGED, NEW, MORE, OUTPUT)


def corrupt(*, got: ModelFacts = WROTE, output_judged: bool) -> list[Finding]:
    after = settled(EVERYTHING, WROTE, got, output_judged=output_judged)
    assert [replace(each, harm=Harm.CORRUPT) for each in after] == list(EVERYTHING)
    return [each for each in after if each.harm is Harm.CORRUPT]


def test_with_an_output_only_the_output_is_harm() -> None:
    assert corrupt(output_judged=True) == [OUTPUT]


def test_without_an_output_only_what_is_new_is_harmless() -> None:
    assert corrupt(output_judged=False) == [SUBCLASS, CHANGED, OUTPUT]


def test_where_bits_are_lost_everything_is_harm() -> None:
    assert corrupt(got=ModelFacts({}, ()), output_judged=True) == list(EVERYTHING)


def test_an_output_counts_for_nothing_where_the_unquantized_model_differs_too() -> None:
    after = [excused(each) for each in EVERYTHING]
    assert after[:-1] == list(EVERYTHING[:-1])
    assert after[-1].harm is Harm.ALTERED
    assert after[-1].what == "output differs, as does the unquantized model's"


def test_findings_alike_are_told_once_and_counted() -> None:
    others = [replace(NEW, path=f"other.weight/{number}") for number in range(3)]
    (new, subclass) = condensed([NEW, *others, SUBCLASS])
    assert new == replace(NEW, path=f"{NEW.path} and 3 more")
    assert subclass == SUBCLASS
