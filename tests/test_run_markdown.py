"""A run for the summary of a CI job or an issue: what it says, hostile texts, and its limits."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_comparison import ALL_PASS, AXES, BREAKS, HUNG, NEW, PASS, SKIPPED, A, B, results

from conformance.judging.results import Result, Results
from conformance.report.github import CUT, Fit, cell, code, cut, plain, table
from conformance.report.run_markdown import run_markdown
from conformance.roundtrip.outcome import Failure, Outcome, Stage

MIXED = """\
## 2 of 4 cases were measured; 2 are not as expected

| verdict | cases |
|---|---:|
| load-failed | 1 |
| pass | 1 |
| no result: skipped | 1 |
| no result: timeout | 1 |
| all | 4 |

### Not as expected

**`load-failed at load: KeyError: 'scale'`**

- `not covered by an expectation: KeyError "'scale'" at load`

1 case

- `toy.int8.pickle.cpu`

Again: `conformance run --select 'toy.int8.pickle.cpu' --results again.jsonl`

**`timeout at load: # s`**

- `not covered by an expectation: timeout: 60 s at load`

1 case

- `toy.int8.state-dict.cpu`

Again: `conformance run --select 'toy.int8.state-dict.cpu' --results again.jsonl`

| distribution | version |
|---|---|
| torch | 2.13.0 |
| torchao | 0.18.0 |

### Skipped

**`skipped: needs CUDA`**

1 case; all pickle, int4

- `toy.int4.pickle.cpu`
"""


def run_of(*outcomes: Outcome) -> Results:
    return results(dict(zip(AXES, outcomes, strict=False)), NEW)


def failing(message: str) -> Outcome:
    return Outcome("", failure=Failure(Stage.LOAD, "KeyError", message))


def declared(run: Results) -> Results:
    cases = {
        name: Result(
            each.outcome,
            replace(each.judgement, as_expected=True, reasons=(), covered_by=("known",)),
        )
        for name, each in run.cases.items()
    }
    return replace(run, cases=cases)


def test_what_is_not_as_expected_comes_before_everything_else() -> None:
    assert run_markdown(run_of(BREAKS, HUNG, SKIPPED, PASS), AXES) == MIXED


def test_equal_reasons_are_told_once() -> None:
    told = run_markdown(run_of(failing("no 0x1 in 3"), failing("no 0x2 in 44"), PASS), AXES)
    assert told.count("not covered by an expectation") == 1
    assert "\n2 cases\n\n- `toy.int8.pickle.cpu`\n- `toy.int8.state-dict.cpu`\n" in told


def test_other_reasons_of_one_cause_are_told_apart() -> None:
    run = run_of(BREAKS, BREAKS)
    judgement = replace(run.cases[B].judgement, reasons=("obsolete: x",))
    cases = {**run.cases, B: Result(run.cases[B].outcome, judgement)}
    told = run_markdown(replace(run, cases=cases), AXES)
    assert told.count("**`load-failed at load: KeyError: 'scale'`**") == 2
    assert "- `obsolete: x`\n\n1 case\n\n- `toy.int8.state-dict.cpu`" in told


def test_declared_defects_are_told_apart_from_what_is_skipped() -> None:
    told = run_markdown(declared(run_of(BREAKS, SKIPPED, PASS)), AXES)
    assert "are not as expected" not in told
    first, second = told.index("### Declared"), told.index("### Skipped")
    assert first < told.index("KeyError") < second < told.index("needs CUDA")


def test_what_was_not_run_and_unused_expectations_are_told() -> None:
    run = results({A: PASS}, NEW, planned=3)
    run = replace(run, footer=replace(run.footer, unused=("old-bug",)))
    told = run_markdown(run, AXES)
    assert "2 were not run" in told
    assert "unused expectation: old-bug" in told
    assert "| not run | 2 |\n| all | 3 |" in told


def test_an_empty_run_says_that_it_says_nothing() -> None:
    told = run_markdown(results({}, NEW), AXES)
    assert told.startswith("## 0 of 0 cases were measured; nothing can be said\n")


# Hostile texts

HTML = MarkdownIt("gfm-like", {"linkify": False}).render
HOSTILE = (
    "| a | b |",
    "`code` ``",
    "<script>alert(1)</script>",
    "<!-- never closed",
    "[x](javascript:alert)",
    "![x](http://a/b.png)",
    "# heading",
    "*bold* _it_ ~~gone~~",
    "&lt;b&gt;",
    "@somebody see #12 and GH-3",
    "line\none\r\ntwo\u2028three",
    "\x1b[31mred\ud800\x00",
    "</details>",
    "\\",
)
hostile = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=4).map("".join)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_message_is_one_piece_of_code(text: str) -> None:
    told = run_markdown(run_of(failing(text)), AXES)
    shown = HTML(told)
    for tag in ("<script", "<!--", "<img", "<a ", "<del", "<em", "</details"):
        assert tag not in shown
    assert shown.count("<h2>") == 1
    assert shown.count("<strong><code>") == shown.count("<strong>") == 1


@given(hostile)
def test_plain_text_is_read_as_it_is_written(text: str) -> None:
    shown = HTML(f"x {plain(text)} x")
    assert shown.count("<") == 2
    assert shown.startswith("<p>x ")
    assert shown.endswith(" x</p>\n")


@given(hostile)
def test_plain_text_calls_nobody(text: str) -> None:
    assert not re.search(r"@\w|#\d|GH-\d", plain(f"@somebody #1 {text}").replace("&#8203;", "\0"))


def test_an_issue_and_a_person_are_not_linked() -> None:
    assert plain("@a/b #12 GH-3 a#") == "@&#8203;a/b #&#8203;12 GH-&#8203;3 a#"


@given(hostile)
def test_code_is_one_piece(text: str) -> None:
    shown = HTML(f"x {code(f'x{text}x')} x")
    assert shown.count("<code>") == shown.count("</code>") == 1
    assert shown.count("<") == 4


@given(st.lists(hostile, min_size=2, max_size=2))
def test_a_cell_ends_where_it_should(texts: list[str]) -> None:
    first, second = (cell(f"x{each}x") for each in texts)
    shown = HTML("\n".join(table(("a", "b"), [(first, second)])))
    assert shown.count("<td>") == shown.count("<code>") == 2


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 names"):
        table(("a", "b"), [("only",)])


# Limits


def test_the_limits_are_below_those_of_github() -> None:
    assert Fit.STEP.limit < 1024 * 1024
    assert Fit.ISSUE.limit < 65_536


@pytest.mark.thorough
@pytest.mark.parametrize("fit", Fit)
def test_a_run_of_many_causes_fits(fit: Fit) -> None:
    axes = {f"toy.{number:05}": {"scheme": "toy"} for number in range(4000)}
    words = {
        name: "é" * (number % 200) + name[4:].translate(LETTERS) for number, name in enumerate(axes)
    }
    run = results({name: failing(text) for name, text in words.items()}, NEW)
    told = run_markdown(run, axes, fit.limit)
    assert fit.limit - 1000 < len(told.encode()) <= fit.limit
    whole = run_markdown(run, axes, 10**9).splitlines()
    *kept, empty, last = told.splitlines()
    assert (kept, empty) == (whole[: len(kept)], "")
    assert last == CUT.format(len(whole) - len(kept))


LETTERS = str.maketrans("0123456789", "abcdefghij")


@given(st.lists(st.text("aé\U0001f600", max_size=30), max_size=30), st.integers(100, 400))
def test_lines_are_kept_whole(lines: list[str], limit: int) -> None:
    told = cut(lines, limit)
    assert len(told.encode()) <= limit
    whole = "".join(f"{line}\n" for line in lines)
    assert (told == whole) == (len(whole.encode()) <= limit)


def test_all_that_pass_have_no_causes() -> None:
    told = run_markdown(results(ALL_PASS, NEW), AXES)
    assert told.startswith("## 4 of 4 cases were measured; all are as expected\n")
    assert "###" not in told
