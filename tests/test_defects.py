"""The catalogue of known defects: as measured, strict, and found by what people paste."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from called import Ran, called
from hypothesis import given, settings
from hypothesis import strategies as st
from test_expectations import BUG, CHECKS, DIFFERS, entry

from conformance.errors import UsageError
from conformance.judging.defects import (
    Defect,
    Group,
    catalogue,
    load_groups,
    load_workarounds,
    names_of,
)
from conformance.judging.excuses import Ends, Raises
from conformance.judging.expectations import Expectation, load_expectations
from conformance.judging.explain import How, explain
from conformance.judging.measured import Observed, Sample, measured
from conformance.judging.pasted import Raised, raised_in, without_paths
from conformance.report import catalogue as shipped
from conformance.report.defects import page, repro, seen
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Outcome,
    Stage,
)

ROOT = Path(__file__).parents[1]
DEFECTS = shipped.defects()
SAMPLES = [(defect, sample) for defect in DEFECTS for sample in defect.samples]
RAISED = [(defect, sample) for defect, sample in SAMPLES if sample.said]


def ids(pairs: list[tuple[Defect, Sample]]) -> list[str]:
    return [f"{defect.name}-{number}" for number, (defect, _) in enumerate(pairs)]


def test_the_page_is_what_the_sources_say() -> None:
    written = (ROOT / "docs" / "defects.md").read_text(encoding="utf-8")
    assert written == page(DEFECTS), "python -m conformance.report.defects > docs/defects.md"


def test_every_expectation_is_in_one_entry() -> None:
    names = [part.expectation.name for defect in DEFECTS for part in defect.parts]
    found = [each.expectation for each in shipped.findings()]
    assert sorted(names) == sorted(each.name for each in (*shipped.expectations(), *found))


def test_what_was_measured_is_of_expectations_that_there_are() -> None:
    known = {each.name for each in shipped.expectations()}
    assert set(shipped.measurements()["expectations"]) <= known


def test_every_entry_was_measured() -> None:
    """Run the cases and `python -m conformance.report.measured` for a new expectation."""
    assert [each.name for each in DEFECTS if not each.samples] == []


@pytest.mark.parametrize(("defect", "sample"), SAMPLES, ids=ids(SAMPLES))
def test_a_sample_is_still_what_its_expectation_foresees(defect: Defect, sample: Sample) -> None:
    foreseen = []
    for part in defect.parts:
        excuse = part.expectation.excuse
        if isinstance(excuse, Raises) and sample.said:
            foreseen.append(bool(excuse.match.search(sample.message)))
        elif isinstance(excuse, Ends):
            foreseen.append(excuse.match is None or bool(excuse.match.search(sample.what)))
        elif not isinstance(excuse, Raises) and not sample.said:
            foreseen.append(bool(excuse.what.fullmatch(sample.what)))
    assert any(foreseen)


# Found by what was said


def traceback(said: tuple[Raised, ...], path: str = "/home/me/model") -> str:
    """Return what Python prints for a chain of exceptions."""
    frames = f'Traceback (most recent call last):\n  File "{path}/x.py", line 7, in <module>\n'
    parts = [
        f"{frames}    load()\n{each.type}: {each.message.replace('<path>', path)}\n"
        for each in said
    ]
    return "\nDuring handling of the above exception, another exception occurred:\n\n".join(parts)


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


LEANS = re.compile(r"(the|for the) same\b|as above|likewise|see ", re.IGNORECASE)
"""How a reason begins that only says something below another one."""


def test_a_reason_is_understood_alone() -> None:
    """A drawer, a repro and an issue have one entry, and nothing above it."""
    reasons = {part.expectation.name: part.expectation.reason for d in DEFECTS for part in d.parts}
    assert [name for name, reason in reasons.items() if LEANS.match(reason)] == []
    assert LEANS.match("The same, sharded.")


# Workarounds


def test_every_workaround_is_shown_by_something_that_there_is() -> None:
    proofs = shipped.measurements()["proofs"]
    newest = next(iter(shipped.measurements()["environments"]))
    for each in shipped.workarounds():
        for case in each.cases:
            assert set(proofs[case].values()) & {"pass", "altered"}, case
            if "@" not in case:
                assert proofs[case][newest] in ("pass", "altered"), case
        assert not each.script or (ROOT / each.script).is_file()


@pytest.mark.thorough
def test_every_script_is_of_a_workaround() -> None:
    scripts = {
        path.relative_to(ROOT).as_posix()
        for folder in ("workarounds", "findings")
        for path in (ROOT / "fixtures" / folder).glob("*.py")
    }
    named = {each.script for each in shipped.workarounds() if each.script}
    assert scripts == named | {each.script for each in shipped.findings()}


def test_what_conformance_repro_writes_nothing_for_has_its_script_as_repro() -> None:
    commands = {each.name: repro(each) for each in DEFECTS}
    odd, positions = "int8-weight-only-odd-width", "strict-export-makes-zeros"
    assert commands[odd] == "python fixtures/findings/int8_odd_width.py"
    assert commands[positions] == "python fixtures/findings/strict_export.py"
    assert commands["compiled-state-dict-prefix"].startswith("conformance run --select ")


# Strict files

EXPECTATIONS = ("bug", "differs")


def declared(folder: Path) -> tuple[Expectation, ...]:
    path = folder / "e.toml"
    path.write_text(entry(BUG, match='"^gone"') + entry(DIFFERS), encoding="utf-8")
    return load_expectations([path], CHECKS, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[defect]]\nname = "a"', "defects.toml: defect 'a': the key \"expectations\" is missing"),
        (
            '[[defect]]\nname = "a"\nexpectations = ["bugg"]',
            "unknown expectation 'bugg'; did you mean 'bug'?",
        ),
        (
            '[[defect]]\nname = "a"\nexpectations = ["bug"]\n'
            '[[defect]]\nname = "b"\nexpectations = ["bug"]',
            "defect 'b': bug is in a already; take it out of one",
        ),
        ('[[defect]]\nname = "a"\nexpectations = ["bug"]\nnmae = 1', "did you mean 'name'?"),
    ],
)
def test_a_wrong_group_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "defects.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load_groups(path, EXPECTATIONS)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('says = "x"\ncases = ["toy"]', 'the key "defects" is missing; list at least one defect'),
        ('defects = ["bug"]\ncases = ["toy"]', 'the key "says" is missing'),
        (
            'defects = ["bug"]\nsays = "x"',
            'nothing shows that it works; give "cases" or a "script"',
        ),
        (
            'defects = ["bug"]\nsays = "x"\ncases = ["toi"]',
            "unknown case 'toi'; did you mean 'toy'?",
        ),
        ('defects = ["gub"]\nsays = "x"\ncases = ["toy"]', "unknown defect 'gub'"),
    ],
)
def test_a_wrong_workaround_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "workarounds.toml"
    path.write_text(f'[[workaround]]\nname = "w"\n{text}', encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load_workarounds(path, EXPECTATIONS, ["toy"])
    assert said in str(raised.value)


def test_the_name_of_another_expectation_is_no_name_of_a_group(tmp_path: Path) -> None:
    known = declared(tmp_path)
    with pytest.raises(UsageError, match="choose another"):
        catalogue(known, [Group("bug", ("differs",))], [], {})
    assert names_of(known, [Group("both", EXPECTATIONS)]) == ("both",)
    assert [each.name for each in catalogue(known, [], [], {})] == ["bug", "differs"]


# Measuring

CASE = "toy.safetensors.cpu"


def observed(label: str, *outcomes: Outcome) -> Observed:
    torchao = label.partition(",")[0].removeprefix("torchao")
    return Observed(label, {"torchao": torchao}, {each.case: each for each in outcomes})


def failing(message: str, *before: str, case: str = CASE) -> Outcome:
    said = (*(Raised("OSError", each) for each in before), Raised("ValueError", message))
    return Outcome(case, failure=Failure(Stage.SAVE, "ValueError", message, traceback(said)))


def finding(what: str) -> Outcome:
    found = Finding("bits", Stage.BITS, Harm.CORRUPT, "w", what, "1", "2")
    return Outcome(CASE, findings=(found,))


@pytest.fixture
def bugs(tmp_path: Path) -> Mapping[str, Expectation]:
    path = tmp_path / "e.toml"
    bug = entry(BUG, match='"^gone"', versions='{ torchao = ">=2" }')
    path.write_text(bug + entry(DIFFERS), encoding="utf-8")
    return {each.name: each for each in load_expectations([path], CHECKS, None)}


def test_it_is_counted_where_it_was_seen_and_where_it_could_be(
    bugs: Mapping[str, Expectation],
) -> None:
    runs = [
        observed("torchao2", failing("gone at /tmp/x/y"), failing("gone too", case=f"2.{CASE}")),
        observed("torchao1", Outcome(CASE)),
        observed("torchao0", Outcome(CASE, no_result=NoResult(NoResultKind.SKIPPED, "no"))),
    ]
    found = measured(bugs["bug"], runs)
    assert found.counts == {"torchao2": (2, 2), "torchao1": (0, 1)}
    assert [each.message for each in found.samples] == ["gone at <path>", "gone too"]


def test_another_cause_with_the_same_last_words_does_not_count(
    bugs: Mapping[str, Expectation],
) -> None:
    home = observed("torchao2", failing("gone", "class A"))
    other, equal = failing("gone", "class B"), failing("gone", "class A", case=f"2.{CASE}")
    found = measured(bugs["bug"], [home, observed("torchao1", other, equal)])
    assert found.counts == {"torchao2": (1, 1), "torchao1": (1, 1)}
    assert [each.versions for each in found.samples] == ["torchao2"]


def test_a_case_that_broke_before_says_nothing(bugs: Mapping[str, Expectation]) -> None:
    runs = [observed("torchao2", finding("bits differ")), observed("torchao1", failing("other"))]
    assert measured(bugs["differs"], runs).counts == {"torchao2": (1, 1)}


def test_counts_are_told_newest_first() -> None:
    assert seen({"torchao2,d": (2, 3), "torchao1,d": (0, 3)}) == "torchao 2 (2 of 3); not under 1"
    assert seen({"torchao1,d": (0, 3)}) == "not measured; not under 1"
    assert seen({}) == "not measured"
