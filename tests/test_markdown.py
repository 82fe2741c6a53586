"""The summary of a CI job: what it says, that nothing in it is read as markup, and its limit."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_comparison import (
    ALL_PASS,
    BREAKS,
    HUNG,
    NEW,
    OLD,
    PASS,
    A,
    B,
    C,
    D,
    acceptance,
    compared,
)
from test_comparison import MIXED as MIXED_RUNS
from test_comparison_command import invoke, on_disk
from typer.testing import CliRunner

from conformance.cli import app
from conformance.errors import UsageError
from conformance.report.github import CUT
from conformance.report.markdown import markdown
from conformance.roundtrip.outcome import Failure, Outcome, Stage

MIXED = """\
## Do not upgrade torchao 0.17.0 -\\> 0.18.0: 1 cause breaks 2 of 4 cases; 1 fixed; 1 lost.

| change | cases |
|---|---:|
| regressed | 2 |
| lost | 1 |
| fixed | 1 |
| all | 4 |

| distribution | before | after |
|---|---|---|
| torchao | 0.17.0 | 0.18.0 |

### Breaks

**`load-failed at load: KeyError: 'scale'`**

2 cases; all int8

- `toy.int8.pickle.cpu`
- `toy.int8.state-dict.cpu`

### Lost

**`timeout at load: # s`**

1 case; all pickle, int4

- `toy.int4.pickle.cpu`
"""


def failing(message: str) -> Outcome:
    return Outcome("", failure=Failure(Stage.LOAD, "KeyError", message))


def test_equal_causes_are_told_once_with_what_they_share() -> None:
    assert markdown(MIXED_RUNS) == MIXED


def test_a_compatible_upgrade_has_no_causes() -> None:
    told = markdown(compared(ALL_PASS, ALL_PASS))
    assert told.startswith("## torchao 0.17.0 -\\> 0.18.0 is compatible: ")
    assert "###" not in told


def test_cases_that_are_absent_flaky_or_accepted_are_named() -> None:
    lost = markdown(compared(ALL_PASS, dict.fromkeys((B, C, D), PASS)))
    assert f"### Lost\n\n1 case; absent\n\n- `{A}`\n" in lost
    flaky = markdown(compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, retry={A: PASS}))
    assert f"others do not\n\n1 case\n\n- `{A}`\n" in flaky
    accepted = markdown(compared(ALL_PASS, {**ALL_PASS, A: BREAKS}, acceptance()))
    assert f"### Accepted\n\n1 case; seen\n\n- `{A}`\n" in accepted


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("<b>|</b>", "`load-failed at load: KeyError: <b>|</b>`"),
        ("no `x` here", "``load-failed at load: KeyError: no `x` here``"),
        ("ends in ``", "``` load-failed at load: KeyError: ends in `` ```"),
        ("\x1b[31mred\ud800", "`load-failed at load: KeyError: red?`"),
    ],
)
def test_what_a_library_says_is_code(message: str, told: str) -> None:
    shown = markdown(compared(ALL_PASS, {**ALL_PASS, A: failing(message)}))
    assert f"**{told}**" in shown


def test_many_cases_of_one_cause_are_counted() -> None:
    cases = {f"toy.{number:02}": PASS for number in range(12)}
    shown = markdown(compared(cases, dict.fromkeys(cases, BREAKS)))
    assert "\n12 cases\n" in shown
    assert shown.endswith("- `toy.09`\n- and 2 more\n")


MANY = compared(
    {f"toy.{number}": PASS for number in range(60)},
    {f"toy.{number}": failing("\u00e9" * number) for number in range(60)},
)


@given(st.integers(min_value=len(CUT) + 6, max_value=30_000))
def test_it_fits_and_is_cut_between_lines(limit: int) -> None:
    whole, cut = markdown(MANY), markdown(MANY, limit)
    assert len(cut.encode()) <= limit
    if cut != whole:
        *kept, empty, last = cut.splitlines()
        assert (empty, kept) == ("", whole.splitlines()[: len(kept)])
        assert last == CUT.format(len(whole.splitlines()) - len(kept))


def test_a_text_of_just_the_limit_is_whole() -> None:
    whole = markdown(MANY)
    size = len(whole.encode())
    assert markdown(MANY, size) == whole
    assert "more lines are left out" in markdown(MANY, size - 1)


def test_the_command_prints_it(tmp_path: Path) -> None:
    old = on_disk(tmp_path / "old.jsonl", {A: PASS, B: PASS, C: PASS, D: BREAKS}, OLD)
    new = on_disk(tmp_path / "new.jsonl", {A: BREAKS, B: BREAKS, C: HUNG, D: PASS}, NEW)
    # The ids are of no real case, so the command knows no axes of them.
    shared = ("; all int8", "; all pickle, int4")
    assert invoke(old, new, "--markdown") == (
        1,
        MIXED.replace(shared[0], "").replace(shared[1], ""),
    )


@pytest.mark.parametrize("other", ["--json", "--self-check"])
def test_the_command_gives_one_form(other: str, tmp_path: Path) -> None:
    one = on_disk(tmp_path / "one.jsonl", ALL_PASS, OLD)
    ended = CliRunner().invoke(app, ["compare", one, one, "--markdown", other])
    assert isinstance(ended.exception, UsageError)
    assert "--markdown goes with neither" in str(ended.exception)
