"""What a terminal and a log are shown."""

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from test_judge import BROKEN, SCALE, expecting
from test_verdicts import CASE, finding, outcomes, raising, stopped

from conformance.judging.judge import Judgement, judge
from conformance.judging.summary import causes_worst_first, tally
from conformance.report import text
from conformance.roundtrip.outcome import (
    Failure,
    Harm,
    NoResultKind,
    Outcome,
    Reader,
    Stage,
    Step,
)

PASS = judge(Outcome(CASE), [])
RED = judge(raising(Stage.SAVE), [])
SKIPPED = judge(stopped(NoResultKind.SKIPPED, "no CUDA", Stage.RESOLVE), [])
KILLED = judge(stopped(NoResultKind.KILLED, "SIGKILL"), [])
THROUGH = (Step(Stage.SAVE, 0.002), Step(Stage.LOAD, 0.003), Step(Stage.STRUCTURE, 0.001))


def marks(outcome: Outcome) -> dict[str, str]:
    """Return the mark of every stage on the ladder."""
    shown = text.to_text(text.ladder(outcome, judge(outcome, []).stage))
    return {stage: mark for mark, stage in re.findall(r"([✓✗·]) (\w+)", shown)}


def stages(marked: dict[str, str], mark: str) -> list[str]:
    return [stage for stage, each in marked.items() if each == mark]


def test_every_stage_has_a_rung_in_order() -> None:
    assert list(marks(Outcome(CASE))) == list(Stage)
    assert set(marks(Outcome(CASE)).values()) == {"·"}


def test_what_was_reached_is_marked_and_what_came_before_it() -> None:
    marked = marks(Outcome(CASE, THROUGH))
    assert stages(marked, "·") == ["inspect", "output", "resave"]
    assert stages(marked, "✗") == []


def test_a_failure_marks_its_stage_and_nothing_after_it() -> None:
    marked = marks(replace(raising(Stage.SAVE), steps=THROUGH[:1]))
    assert stages(marked, "✓") == ["resolve", "build", "quantize"]
    assert stages(marked, "✗") == ["save"]


def test_a_model_that_cannot_be_looked_at_has_no_bits() -> None:
    marked = marks(replace(raising(Stage.STRUCTURE), steps=THROUGH))
    assert stages(marked, "✗") == ["structure"]
    assert {marked["bits"], marked["size"]} == {"·"}


def test_every_finding_marks_its_stage() -> None:
    found = (finding(stage=Stage.STRUCTURE), finding(stage=Stage.BITS))
    assert stages(marks(Outcome(CASE, THROUGH, findings=found)), "✗") == ["structure", "bits"]


def test_a_case_without_result_marks_where_it_stopped() -> None:
    outcome = replace(stopped(NoResultKind.KILLED, "SIGKILL", Stage.LOAD), steps=THROUGH)
    assert stages(marks(outcome), "✗") == ["load"]
    assert marks(outcome)["bits"] == "·"


def test_times_of_a_stage_are_added_up() -> None:
    twice = (*THROUGH, Step(Stage.LOAD, 0.004, Reader.FRESH))
    assert "✓ load 7 ms" in text.to_text(text.ladder(Outcome(CASE, twice), None))


def rows(*paths: str, **changes: str) -> list[str]:
    found = [replace(finding(), path=path, **changes) for path in paths]  # type: ignore[arg-type]
    return text.to_text(text.findings_table(found)).splitlines()


def test_findings_that_differ_in_the_path_only_are_one_row() -> None:
    header, *others = rows("a", "b")
    assert header.split() == ["check", "path", "what", "wanted", "got", "reader"]
    assert [line.split() for line in others] == [
        ["bits", "a", "bits", "differ", "1.0", "1.01", "same"],
        ["b"],
    ]


def test_many_paths_are_counted() -> None:
    assert [line.split()[-1] for line in rows(*"abcd")[2:]] == ["b", "c", "d"]
    assert rows(*"abcdef")[-1].strip() == "... and 2 more"


def test_findings_that_differ_otherwise_are_rows_of_their_own() -> None:
    other = replace(finding(), got="1.02")
    assert len(text.to_text(text.findings_table([finding(), other])).splitlines()) == 3


def test_many_rows_are_counted() -> None:
    found = [replace(finding(), got=str(number)) for number in range(text.FINDINGS_SHOWN + 2)]
    shown = text.to_text(text.findings_table(found)).splitlines()
    assert len(shown) == 1 + text.FINDINGS_SHOWN + 1
    assert shown[-1].split() == ["...", "and", "2", "more"]


def test_markup_in_what_was_found_is_text() -> None:
    assert "[red]x[/red]" in rows("[red]x[/red]")[1]
    assert rows("a", got="[/]")[1].split()[5] == "[/]"


def test_a_report_tells_everything_about_a_case() -> None:
    failure = Failure(
        Stage.RESAVE, "OSError", "disk [full]", "Traceback\n  last\n", Reader.BOTH, ("a", "b")
    )
    outcome = Outcome(CASE, THROUGH, (finding(),), failure, storage_only="no kernel")
    shown = text.to_text(text.case_report(outcome, judge(outcome, [expecting(SCALE)])))
    lines = shown.splitlines()
    assert lines[0] == f"{CASE}: corrupt"
    assert "storage only: no kernel" in lines
    assert (
        "not as expected: not covered by an expectation: OSError 'disk [full]' at resave" in shown
    )
    assert "expected by: bug" in lines
    assert lines[-5:] == [
        "OSError at resave (both readers): disk [full]",
        "left behind: a, b",
        "Traceback",
        "  last",
        f"again: conformance run --select '{CASE}' --results again.jsonl",
    ]


def test_a_report_of_no_result_says_why() -> None:
    outcome = stopped(NoResultKind.TIMEOUT, "the time for a case is over\n", Stage.LOAD)
    lines = text.to_text(text.case_report(outcome, judge(outcome, []))).splitlines()
    assert lines[0] == f"{CASE}: no result: timeout"
    assert "the time for a case is over" in lines


def reported(*outcomes: Outcome) -> list[str]:
    """Report outcomes in turn; return the lines of the last report."""
    reporter = text.Reporter()
    shown = [reporter.report(each, judge(each, [expecting(BROKEN)])) for each in outcomes]
    return text.to_text(shown[-1]).splitlines()


def named(outcome: Outcome, case: str) -> Outcome:
    return replace(outcome, case=case)


def test_what_ends_alike_is_told_in_one_line() -> None:
    first, second = named(raising(Stage.LOAD), "toy.1"), named(raising(Stage.LOAD), "toy.2")
    assert len(reported(first)) > 5
    assert reported(first, second) == ["toy.2: load-failed, not as expected, like toy.1"]


def test_a_number_or_a_path_makes_no_difference() -> None:
    first = named(raising(Stage.LOAD, "OSError", "no /tmp/a after 7 s"), "toy.1")
    second = named(raising(Stage.LOAD, "OSError", "no /tmp/b after 8 s"), "toy.2")
    assert len(reported(first, second)) == 1


def test_another_cause_is_told_in_full() -> None:
    other = named(raising(Stage.LOAD, "OSError"), "toy.2")
    assert reported(named(raising(Stage.LOAD), "toy.1"), other)[1] == "toy.2: load-failed"


def test_another_finding_beside_the_same_expected_failure_is_told_in_full() -> None:
    failure = Failure(Stage.SAVE, "RuntimeError", "it broke")
    keys, shape = (finding(Harm.ALTERED, Stage.STRUCTURE, check) for check in ("keys", "shape"))
    first, second = (Outcome(f"toy.{each.check}", (), (each,), failure) for each in (keys, shape))
    shown = reported(first, second)
    assert shown[1] == "toy.shape: save-failed"
    assert any("not covered by an expectation: shape" in each for each in shown)


@pytest.mark.parametrize(
    ("judged", "unused", "planned", "sentence"),
    [
        ([PASS, PASS], (), 2, "2 of 2 cases were measured; all are as expected"),
        ([PASS, SKIPPED], (), 0, "1 of 2 cases were measured; all are as expected"),
        ([PASS, RED], (), 2, "2 of 2 cases were measured; 1 is not as expected"),
        ([RED, RED, KILLED], (), 3, "2 of 3 cases were measured; 3 are not as expected"),
        ([PASS], (), 2, "1 of 2 cases were measured; 1 was not run; all are as expected"),
        ([RED], (), 3, "1 of 3 cases were measured; 2 were not run; 1 is not as expected"),
        ([PASS], ("old",), 1, "1 of 1 cases were measured; unused expectation: old"),
        ([SKIPPED], (), 1, "0 of 1 cases were measured; nothing can be said"),
        (
            [KILLED],
            (),
            1,
            "0 of 1 cases were measured; 1 is not as expected; nothing can be said",
        ),
        ([], (), 4, "0 of 4 cases were measured; 4 were not run; nothing can be said"),
    ],
)
def test_the_headline_of_a_run(
    judged: Sequence[Judgement], unused: tuple[str, ...], planned: int, sentence: str
) -> None:
    assert text.headline(tally(judged), unused, planned) == sentence


def summary(*judged: Judgement, skipped: bool = False) -> list[str]:
    causes = causes_worst_first(judged, {})
    return text.to_text(text.summary(tally(judged), causes, (), skipped=skipped)).splitlines()


def test_a_summary_counts_verdicts_and_tells_causes() -> None:
    assert summary(PASS, RED, RED, SKIPPED) == [
        "3 of 4 cases were measured; 2 are not as expected",
        "",
        "verdict             cases",
        "save-failed             2",
        "pass                    1",
        "no result: skipped      1",
        "",
        "save-failed at save: RuntimeError: it broke",
        "  2 cases, 2 not as expected",
        f"  {CASE}",
        f"  {CASE}",
    ]


def test_why_cases_were_skipped_is_told_when_nothing_else_is_or_when_asked_for() -> None:
    why = "skipped at resolve: no CUDA"
    assert why in summary(SKIPPED)
    assert why not in summary(PASS, SKIPPED)
    assert why in summary(PASS, SKIPPED, skipped=True)


def test_what_the_unpickler_refused_is_told_and_not_the_advice_around_it() -> None:
    refused = "torchao.prototype.float8_static_quant.prototype_float8_tensor.PrototypeFloat8Tensor"
    said = (
        f"Weights only load failed. {'Two options. ' * 30}"
        f"WeightsUnpickler error: Unsupported global: GLOBAL {refused} was not an allowed global by"
        f" default. {'Check the documentation. ' * 30}"
    )
    shown = text.shortened(said)
    assert shown.startswith("Weights only load failed.")
    assert refused in shown
    assert len(shown) <= 280


def test_a_long_cause_loses_its_middle() -> None:
    cause = judge(raising(Stage.SAVE, "RuntimeError", f"first {'x ' * 300}last"), [])
    (line,) = [each for each in summary(cause) if "first" in each]
    assert line.endswith("last")
    assert " ... " in line
    assert len(line) <= text.CAUSE_LENGTH + len(" ... ")


@settings(max_examples=30)
@given(outcomes, st.integers(20, 200))
def test_a_log_has_neither_colours_nor_blanks_at_the_end(outcome: Outcome, width: int) -> None:
    shown = text.to_text(text.case_report(outcome, judge(outcome, [])), width)
    assert "\x1b" not in shown
    assert all(each == each.rstrip() for each in shown.split("\n"))
    assert shown.endswith("\n")


def test_colours_of_a_message_do_not_colour_the_report() -> None:
    failure = Failure(Stage.SAVE, "OSError", "\x1b[1;31mbad\x1b[0m \x1b]name \ud800")
    shown = text.to_text(text.case_report(Outcome(CASE, failure=failure), RED))
    assert "OSError at save (same reader): bad ]name ?\n" in shown
    assert rows("a", got="\x1b[31mred")[1].split()[5] == "red"


def test_a_log_line_is_never_wrapped() -> None:
    long = "word " * 100 + "end"
    assert text.to_text(text.line(long)) == f"{long}\n"


def terminal(width: int = 200) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system="standard")


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = terminal()
    text.show(console, text.ending(RED))
    assert printed(console) == f"{CASE}: \x1b[35msave-failed\x1b[0m\n"


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()
    text.show(console, text.ending(RED))
    assert printed(console) == f"{CASE}: save-failed\n"


def test_what_is_no_terminal_is_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    console = text.console()
    assert (console.is_terminal, console.width) == (False, text.LOG_WIDTH)
    text.show(console, text.ending(RED))
    assert capsys.readouterr().out == f"{CASE}: save-failed\n"


def test_a_bar_is_for_terminals_only() -> None:
    assert not text.progress(terminal()).disable
    assert text.progress(Console(file=io.StringIO())).disable


def counted(where: Console, total: int, done: int = 0) -> str:
    with text.counting(where, "things", total, done) as one_more:
        for _ in range(total - done):
            one_more()
    return printed(where)


def log() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=text.LOG_WIDTH)


def test_a_log_gets_some_lines_of_what_is_counted() -> None:
    assert counted(log(), 3) == "1 of 3 things\n2 of 3 things\n3 of 3 things\n"
    assert counted(log(), 4, done=2).startswith("3 of 4 things\n")
    many = counted(log(), 1000).splitlines()
    assert len(many) == text.LOG_LINES
    assert many[-1] == "1000 of 1000 things"
    assert counted(log(), 0) == ""


def test_a_terminal_has_a_bar_of_what_is_counted() -> None:
    shown = counted(terminal(), 3)
    assert "3/3" in shown
    assert "of 3 things" not in shown


def test_what_keeps_a_command_busy_is_told_before_it_is_done() -> None:
    where = log()
    with text.busy(where, "measuring"):
        assert printed(where) == "measuring ...\n"
    assert printed(where) == "measuring ...\n"
    where = terminal()
    with text.busy(where, "measuring"):
        pass
    assert "measuring" in printed(where)
