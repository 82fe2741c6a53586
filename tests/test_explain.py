"""`conformance explain`: an entry is found by what somebody pastes."""

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from called import Ran, called
from hypothesis import given, settings
from hypothesis import strategies as st
from test_defects import DEFECTS, RAISED, SAMPLES, ids, traceback

from conformance.judging.defects import Defect
from conformance.judging.explain import How, explain
from conformance.judging.measured import Sample
from conformance.judging.pasted import Raised, raised_in, without_paths


@cache
def alike() -> dict[Any, set[str]]:
    """Return the names of the entries with a sample, by its likeness."""
    found: dict[Any, set[str]] = defaultdict(set)
    for each, sample in RAISED:
        found[sample.likeness].add(each.name)
    return found


def saying(sample: Sample) -> set[str]:
    """Return the entries that say the very same: no words tell them apart."""
    return alike()[sample.likeness]


def test_three_messages_alone_are_of_two_entries() -> None:
    """All others find theirs alone."""
    shared = {frozenset(saying(sample)) for _, sample in RAISED if len(saying(sample)) > 1}
    assert shared == {
        frozenset({"float8-of-0.9-cannot-be-called", "grouped-int8-cannot-be-quantized"}),
        frozenset({"flashpack-knows-no-subclasses", "read-quantized-once-more"}),
        frozenset({"module-cannot-be-pickled", "whole-model-cannot-be-saved"}),
    }


def samples() -> Iterator[Any]:
    """Every one that was measured; the default run asks for the first of each entry."""
    for name, (defect, sample) in zip(ids(SAMPLES), SAMPLES, strict=True):
        first = sample == defect.samples[0]
        yield pytest.param(defect, sample, id=name, marks=() if first else pytest.mark.slow)


@pytest.mark.parametrize(("defect", "sample"), list(samples()))
def test_an_entry_is_found_by_its_own_message(defect: Defect, sample: Sample) -> None:
    text = traceback(sample.said) if sample.said else sample.what
    best, *others = explain(text, DEFECTS)
    top = [best, *(each for each in others if each.rank == best.rank)]
    assert defect in [each.defect for each in top]
    if sample.said:
        assert {each.defect.name for each in top} == saying(sample)


@pytest.mark.thorough
@pytest.mark.parametrize(("defect", "sample"), RAISED, ids=ids(RAISED))
def test_an_entry_is_found_by_the_last_line_alone(defect: Defect, sample: Sample) -> None:
    ended = sample.said[-1]
    found = explain(f"{ended.type}: {ended.message}", DEFECTS)
    assert defect in [each.defect for each in found if each.rank == found[0].rank]


@settings(max_examples=10)
@given(
    index=st.integers(0, len(RAISED) - 1),
    path=st.from_regex(r"/[a-z]{1,8}(/[a-z0-9_-]{1,12}){1,5}", fullmatch=True),
    noise=st.lists(st.sampled_from(["epoch 3: loss 0.1", "INFO ready", "", "1 2 3"]), max_size=4),
)
def test_paths_and_what_stands_before_make_no_difference(
    index: int, path: str, noise: list[str]
) -> None:
    defect, sample = RAISED[index]
    found = explain("\n".join([*noise, traceback(sample.said, path)]), DEFECTS)
    top = {each.defect.name for each in found if each.rank == found[0].rank}
    assert top == saying(sample)
    assert defect.name in top


def test_other_shapes_make_no_difference() -> None:
    said = "RuntimeError: The size of tensor a (3072) must match the size of tensor b (64) at dim 1"
    names = {each.defect.name for each in explain(said, DEFECTS)}
    assert names == {"float8-of-0.9-cannot-be-called", "grouped-int8-cannot-be-quantized"}


def test_an_exception_on_the_way_counts_when_the_last_is_unknown() -> None:
    first = Raised(
        "RuntimeError", "Attempted to access the data pointer on an invalid python storage"
    )
    found = explain(traceback((first, Raised("MyError", "saving failed"))), DEFECTS)
    assert (found[0].defect.name, found[0].how) == ("safetensors-invalid-storage", How.RAISED)


@pytest.mark.parametrize(
    ("text", "name", "how"),
    [
        ("invalid python storage", "safetensors-invalid-storage", How.SAID),
        ("safetensors-invalid-storage", "safetensors-invalid-storage", How.NAMED),
        ("raw-safetensors-invalid-storage", "safetensors-invalid-storage", How.NAMED),
        ("Tensor is not JSON serializable", "static-scale-in-config", How.SAID),
        ("requires_grad came back True", "requires-grad-comes-back-true", How.FOUND),
        ("invalid pyton storge pointer", "safetensors-invalid-storage", How.NEAR),
        ("E   TypeError: object of type 'NoneType' has no len()", "float8-safetensors-of-0.14", 5),
    ],
)
def test_words_find_their_entry(text: str, name: str, how: How) -> None:
    best = explain(text, DEFECTS)[0]
    assert (best.defect.name, best.how) == (name, how)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory",
        "zebra",
        "1234",
        traceback((Raised("KeyError", "'weight'"),)),
        traceback((Raised("ValueError", "could not convert string to float"),)),
    ],
)
def test_what_is_not_known_finds_nothing(text: str) -> None:
    assert explain(text, DEFECTS) == ()


def test_a_known_message_in_an_exception_of_another_type_is_near_at_most() -> None:
    found = explain("KeyError: object of type 'NoneType' has no len()", DEFECTS)
    assert [each.how for each in found] == [How.NEAR]


def test_a_traceback_is_taken_apart() -> None:
    text = (
        "INFO\nTraceback (most recent call last):\n  File x\npkg.OneError: a\nb\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n  File y\n\x1b[31mTwoError\x1b[0m: c\n"
    )
    assert raised_in(text) == (Raised("pkg.OneError", "a\nb"), Raised("TwoError", "c"))
    assert raised_in("no exception: here") == ()


@pytest.mark.parametrize(
    "line",
    [
        "saw RuntimeError: invalid",
        "E   RuntimeError: invalid",
        "save-failed at save: RuntimeError: invalid",
        "RuntimeError at save (same reader): invalid",
        "RuntimeError at load (fresh reader): invalid",
    ],
)
def test_the_lines_of_a_repro_and_of_a_run_are_read_like_a_traceback(line: str) -> None:
    assert raised_in(f"Unable to import\n{line}") == (Raised("RuntimeError", "invalid"),)
    assert raised_in(f"I {line}") == ()


def test_what_a_repro_saw_counts_more_than_what_it_was_warned_of() -> None:
    warned = "Unable to import `torchao` Tensor objects. This may affect loading checkpoints"
    saw = "saw RuntimeError: Attempted to access the data pointer on an invalid python storage."
    best = explain(f"{warned}\n{saw}\nleft behind: config.json", DEFECTS)[0]
    assert (best.defect.name, best.how) == ("safetensors-invalid-storage", How.ENDED)


def test_paths_of_a_machine_are_cut_out() -> None:
    text = "for '/tmp/a b/c.bin' at /tmp/x/y.bin, see https://example.org/a/b and 1/2"
    cut = "for '<path>' at <path>, see https://example.org/a/b and 1/2"
    assert without_paths(text) == cut


# The command


def conformance(*arguments: str, stdin: str = "") -> Ran:
    return called(*arguments, where=Path.cwd(), stdin=stdin)


def test_the_command_tells_the_entry_of_a_traceback_on_standard_input() -> None:
    said = RAISED[0][1].said
    ended = conformance("explain", "-", stdin=traceback(said))
    assert ended.returncode == 0
    assert RAISED[0][0].name in ended.stdout
    for field in ("symptom:", "message:", "seen:", "workaround:", "upstream:", "repro:"):
        assert f"\n{field}" in ended.stdout


class Terminal(StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stdin", "asks"), [(StringIO, False), (Terminal, True)])
def test_without_a_text_it_reads_what_is_piped_or_pasted(
    stdin: type[StringIO], asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("called.io.StringIO", stdin)
    ended = conformance("explain", stdin=traceback(RAISED[0][1].said))
    assert ended.returncode == 0
    assert RAISED[0][0].name in ended.stdout
    assert ("press Ctrl-D" in ended.stderr) == asks


def test_the_command_gives_json() -> None:
    ended = conformance("explain", "invalid python storage", "--json")
    (best,) = json.loads(ended.stdout)
    assert best["name"] == "safetensors-invalid-storage"
    assert best["issues"] == ["https://github.com/safetensors/safetensors/issues/515"]


def test_the_command_says_when_nothing_is_found() -> None:
    ended = conformance("explain", "zebra")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "nothing known is like it; docs/defects.md lists what is known\n"
    assert json.loads(conformance("explain", "zebra", "--json").stdout) == []


def test_nothing_to_explain_is_a_wrong_input() -> None:
    ended = conformance("explain", "-", stdin=" \n")
    assert ended.returncode == 2
    assert "give a message, or pipe a traceback to `-`" in ended.stderr
