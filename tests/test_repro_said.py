"""What a repro recognises a failure by, and says of it in words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repros import EXPECTATIONS, VERSIONS
from script_runner import Before, run
from test_repro_runs import repro

from conformance.case import all_cases
from conformance.judging.expectations import Expectation, load_expectations, packaged
from conformance.judging.pasted import Raised
from conformance.report.repro.choose import example, machine, moved
from conformance.report.repro.issue import foreign
from conformance.report.repro.recipes import measured
from conformance.report.repro.said import cause_of, common, pieces
from conformance.report.repro.words import asked
from conformance.roundtrip.checks import check_names

TORCH = """\
Weights only load failed. There are two options.
	WeightsUnpickler error: Unsupported global: GLOBAL torchao.some.place.SomeTensor was not an \
allowed global by default. Please use `torch.serialization.add_safe_globals([SomeTensor])`."""
HIDING = Raised("OSError", "Unable to load weights from '/a/b'")


@pytest.mark.parametrize(
    ("chain", "cause"),
    [
        ([], ""),
        ([HIDING], ""),
        ([Raised("UnpicklingError", TORCH), HIDING], "GLOBAL torchao.some.place.SomeTensor"),
        ([Raised("A", "one is wrong. Do this."), HIDING], "one is wrong"),
        ([Raised("KeyError", "'zero_point'"), HIDING], "'zero_point'"),
        ([Raised("TypeError", "no word"), Raised("ValueError", "it says: no word")], ""),
    ],
    ids=["nothing", "alone", "torch", "a sentence", "short", "said again"],
)
def test_a_cause_is_what_was_raised_first_and_is_hidden(chain: list[Raised], cause: str) -> None:
    found = cause_of(chain)
    assert found.endswith(cause)
    assert bool(found) == bool(cause)


def test_a_cause_ends_with_the_name_of_the_class() -> None:
    found = cause_of([Raised("UnpicklingError", TORCH), HIDING])
    assert found == "Unsupported global: GLOBAL torchao.some.place.SomeTensor"


@given(st.text(min_size=1))
def test_a_cause_is_in_the_message(message: str) -> None:
    assert cause_of([Raised("A", message), Raised("B", "")]) in message


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], ""),
        (["one a.b"], "one a.b"),
        (["GLOBAL torchao.a.B", "GLOBAL torchao.a.Be", "GLOBAL torchao.c"], "GLOBAL torchao."),
        (["one two", "other"], ""),
        (["one two", ""], ""),
    ],
)
def test_common_words_are_whole(texts: list[str], words: str) -> None:
    assert common(texts) == words


@given(st.text())
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(each for each in pieces(text))


# The same exception for another reason is not the defect.


def other_load() -> None:
    import diffusers

    def load(*_: object, **__: object) -> None:
        try:
            raise RuntimeError("a checksum is wrong")
        except RuntimeError:
            raise OSError("Unable to load weights from checkpoint file for 'x' at 'x'.")  # noqa: B904

    diffusers.ModelMixin.from_pretrained = load


HIDDEN = [
    each
    for each in EXPECTATIONS
    if "Unable to load weights" in str(each.excuse) and (case := example(each)) and not case.extra
]
"""Those of usual formats: further ones have loaders of their own."""


def test_some_expectations_hide_their_cause() -> None:
    assert HIDDEN


@pytest.mark.slow
@pytest.mark.parametrize("before", [other_load])
@pytest.mark.parametrize("expectation", HIDDEN, ids=lambda each: each.name)
def test_a_failure_for_another_reason_cannot_tell(
    expectation: Expectation, before: Before, tmp_path: Path
) -> None:
    case = example(expectation)
    assert case
    ran = run(repro(case, expectation.name), tmp_path, before)
    assert ran.code == 125, ran.output
    assert "after RuntimeError: a checksum is wrong" in ran.output


# In words.


@pytest.mark.parametrize("check", sorted(check_names()))
def test_what_a_check_asks_is_a_sentence(check: str) -> None:
    assert len(asked(check).split()) > 5
    assert asked(check)[0] in "abcdefghijklmnopqrstuvwxyz`"
    assert not asked(check).endswith(".")


def test_an_exchange_is_told_by_what_differs() -> None:
    older = {**VERSIONS, "torchao": "0.17.0", "some": "1"}
    assert moved(older, VERSIONS) == (
        f"written with torchao 0.17.0, read with torchao {VERSIONS['torchao']}"
    )
    assert moved(VERSIONS, VERSIONS) == f"written and read with torchao {VERSIONS['torchao']}"
    fewer = {name: each for name, each in VERSIONS.items() if name != "numpy"}
    assert moved(fewer, VERSIONS).startswith("written with numpy none, read with numpy ")


def test_an_example_for_a_release_has_a_scheme_that_the_release_has() -> None:
    declared = load_expectations(packaged(), check_names(), all_cases().keys())
    (affine,) = (each for each in declared if each.name == "flatten-refuses-affine")
    for release in ("0.16.0", "0.17.0"):
        case = example(affine, release)
        assert case is not None
        assert case.scheme.name in measured()[release]
    # Else the check would not notice: the first scheme of this expectation ended before 0.17.
    first = example(affine)
    assert first is not None
    assert first.scheme.name not in measured()["0.17.0"]


def test_an_issue_names_the_machine_without_what_it_lacks() -> None:
    named = machine({"platform": "Linux", "processor": "P", "gpu": "none", "cores": "2"})
    assert named == {"platform": "Linux", "processor": "P"}


def test_a_traceback_has_no_colours_and_no_paths_of_a_machine() -> None:
    text = "Traceback:\nOSError: \x1b[1mno file\x1b[0m '/home/me/a b.bin' or /home/me/c.bin"
    assert foreign(text) == "Traceback:\nOSError: no file '<path>' or <path>"
