"""The catalogue of known defects: as measured, strict, and found by what people paste."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
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
from conformance.judging.excuses import Differs, Ends, Raises
from conformance.judging.expectations import Expectation, load_expectations
from conformance.judging.measured import Observed, Sample, measured
from conformance.judging.pasted import Raised
from conformance.report import catalogue as shipped
from conformance.report.defects import page, repro, seen
from conformance.report.repro.defect import UNSCRIPTED
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


def traceback(said: tuple[Raised, ...], path: str = "/home/me/model") -> str:
    """Return what Python prints for a chain of exceptions."""
    frames = f'Traceback (most recent call last):\n  File "{path}/x.py", line 7, in <module>\n'
    parts = [
        f"{frames}    load()\n{each.type}: {each.message.replace('<path>', path)}\n"
        for each in said
    ]
    return "\nDuring handling of the above exception, another exception occurred:\n\n".join(parts)


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


def test_no_script_is_offered_for_a_check_that_none_shows() -> None:
    shows = {part.expectation.name: part.expectation.excuse for d in DEFECTS for part in d.parts}
    offered = [
        line.split()[-1] for d in DEFECTS if (line := repro(d)).startswith("conformance repro")
    ]
    checks = {each.check for name in offered if isinstance(each := shows[name], Differs)}
    assert "requires_grad" in checks
    assert checks & UNSCRIPTED == set()


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
