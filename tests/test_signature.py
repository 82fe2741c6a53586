"""Equal causes compare equal, different ones do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdicts import CASE, finding, finding_in, outcomes, raising, stopped

from conformance.judging.signature import Cause, cause_of, signature
from conformance.judging.verdicts import Verdict, verdict_of
from conformance.roundtrip.outcome import Failure, Harm, NoResultKind, Outcome, Stage

numbers = st.integers(0, 10**12) | st.floats(0, 1e6, allow_nan=False).map(lambda x: f"{x:.3f}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Tensor object at 0x7f3a2b>", "<Tensor object at <address>>"),
        ("no file /tmp/tmpab12cd34/model.bin here", "no file <path> here"),
        ("no file '/home/me/my models/a.bin'", "no file '<path>'"),
        ("see https://example.org/x", "see https://example.org/x"),
        ("in ./out/config.json: bad", "in <path>: bad"),
        ("lock tmpab12_d34 held", "lock <id> held"),
        ("run 123e4567-e89b-12d3-a456-426614174000", "run <id>"),
        ("blob 9f86d081884c7d659a2feaa0c55ad015", "blob <id>"),
        ("shape torch.Size([64, 128])", "shape torch.Size([#])"),
        ("(1x64 and 128x3)", "(# and #)"),
        ("tried to allocate 20.00 MiB", "tried to allocate #"),
        ("loss is -1.5e-3 after 7 steps", "loss is # after # steps"),
        ("model-00001-of-00002.safetensors", "model-#-of-#.safetensors"),
        ("KeyError: 'blocks.0.attn.to_q.weight'", "KeyError: '<name>'"),
        ("size mismatch for blocks.0.to_q.weight: no", "size mismatch for <name>: no"),
        ('Missing key(s): "a.scale", "b.1.scale"', 'Missing key(s): "<name>"'),
        ("share {'b.weight', 'a.weight'}", "share {'<name>'}"),
        ("expected {torch.int8, torch.bfloat16}", "expected {torch.bfloat16, torch.int8}"),
        (
            "in any of: torchao.b, torchao.a.c, torchao.a",
            "in any of: torchao.a, torchao.a.c, torchao.b",
        ),
        ("no list, torchao.b or torchao.a, here", "no list, torchao.b or torchao.a, here"),
        ("bad:\n  a.0.w: gone\n  a.1.w: gone\n", "bad: <name>: gone"),
        ("", ""),
    ],
)
def test_what_differs_between_runs_goes(text: str, expected: str) -> None:
    assert signature(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no int8 kernel", "no int4 kernel"),
        ("<class 'torchao.NF4Tensor'>", "<class 'torchao.Int8Tensor'>"),
        ("no attribute '_layout'", "no attribute 'shape'"),
        ("got torch.float16", "got torch.bfloat16"),
    ],
)
def test_what_tells_causes_apart_stays(one: str, other: str) -> None:
    assert signature(one) != signature(other)


@given(st.text() | st.text(alphabet="ab01.,/'\"{}[] <>#x-\n~", max_size=60))
def test_a_signature_is_its_own_signature(text: str) -> None:
    assert signature(signature(text)) == signature(text)


@given(numbers, numbers)
def test_numbers_do_not_matter(one: object, other: object) -> None:
    texts = [f"expected {n} bytes, got shape [{n}, 3] after {n} s" for n in (one, other)]
    assert signature(texts[0]) == signature(texts[1])


@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_addresses_do_not_matter(one: int, other: int) -> None:
    assert signature(f"<T at {one:#x}> died") == signature(f"<T at {other:#x}> died")


@given(st.permutations(["torch.int8", "torch.uint8", "<class 'a.B'>", "x y"]))
def test_the_order_of_a_set_does_not_matter(elements: list[str]) -> None:
    assert signature(f"not in {{{', '.join(elements)}}}") == (
        "not in {<class 'a.B'>, torch.int8, torch.uint8, x y}"
    )


@given(st.permutations(["torchao.dtypes", "torchao.quantization", "torchao.prototype.awq"]))
def test_the_order_of_modules_does_not_matter(modules: list[str]) -> None:
    """Torchao joins a set of allowed modules in its message."""
    assert signature(f"in any of the allowed modules: {', '.join(modules)}") == (
        "in any of the allowed modules: torchao.dtypes, torchao.prototype.awq, torchao.quantization"
    )


def test_the_cause_of_a_failure() -> None:
    cause = cause_of(raising(Stage.SAVE, "OSError", "disk 3 is full"))
    assert cause == Cause(Verdict.SAVE_FAILED, Stage.SAVE, "OSError", "disk # is full")
    assert str(cause) == "save-failed at save: OSError: disk # is full"


def test_a_pass_has_no_cause() -> None:
    assert cause_of(Outcome(CASE)) is None


def test_the_cause_of_no_result_is_its_reason() -> None:
    cause = cause_of(stopped(NoResultKind.TIMEOUT, "after 60 s", Stage.LOAD))
    assert str(cause) == "timeout at load: after # s"


def test_the_worst_finding_is_the_cause() -> None:
    early = finding(Harm.ALTERED, Stage.STRUCTURE, "requires-grad")
    cause = cause_of(finding_in(early, finding(), finding(stage=Stage.OUTPUT)))
    assert str(cause) == "corrupt at bits: bits: bits differ"


def test_the_order_of_findings_does_not_matter() -> None:
    one, other = finding(check="a"), finding(check="b")
    assert cause_of(finding_in(one, other)) == cause_of(finding_in(other, one))


def test_causes_sort_worst_first_and_no_results_last() -> None:
    made = [
        cause_of(stopped(NoResultKind.SKIPPED)),
        cause_of(stopped(NoResultKind.HARNESS_ERROR)),
        cause_of(raising(Stage.LOAD)),
        cause_of(finding_in(finding())),
    ]
    ordered = sorted((c for c in made if c), key=lambda cause: cause.worst_first)
    assert [str(c.ending) for c in ordered] == [
        "corrupt",
        "load-failed",
        "harness error",
        "skipped",
    ]


@given(outcomes)
def test_every_outcome_but_a_pass_has_a_cause(outcome: Outcome) -> None:
    cause = cause_of(outcome)
    assert (cause is None) == (verdict_of(outcome) is Verdict.PASS)
    if cause is not None:
        assert Cause.from_json(cause.to_json()) == cause


def test_a_failure_can_be_the_cause_beside_findings() -> None:
    failure = Failure(Stage.RESAVE, "RuntimeError", "it broke")
    cause = cause_of(finding_in(finding(Harm.ALTERED), failure=failure))
    assert cause is not None
    assert cause.name == "RuntimeError"
