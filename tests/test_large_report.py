"""What large cases will need and what they took, in words and tables."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from called import called
from repros import results_file
from rich.console import Console
from test_verdicts import finding

from conformance.commands.run import LOG_SECONDS, Watcher
from conformance.judging.judge import judge
from conformance.judging.results import Footer, Header, Result, Results, Selection
from conformance.judging.summary import tally
from conformance.report import large, text
from conformance.roundtrip.budget import Budget
from conformance.roundtrip.outcome import (
    Finding,
    NoResult,
    NoResultKind,
    Outcome,
    Progress,
    Stage,
    Step,
)
from conformance.roundtrip.planning import STARTING, Planned, Rates, estimate

CASE = "cogvideox-2b.int8wo.quantize_.pickle.cpu"
TINY = "flux-tiny.int8wo.quantize_.pickle.cpu"
FITS = Planned(CASE, 17 * 10**8, 24 * 10**8, 18 * 10**8, 65.4, "")
LACKS = replace(
    FITS, case="flux-dev.int8wo.quantize_.pickle.cpu", reason="needs 12.5 GiB of memory"
)


def test_a_plan_names_what_each_case_needs_and_why_one_cannot_run() -> None:
    lines = text.to_text(large.plan_table([FITS, LACKS]), 160).splitlines()
    assert lines[1].split() == f"{CASE} 1.70 GB 2.40 GB 1.80 GB 65 s runs".split()
    assert lines[2].endswith("no result: needs 12.5 GiB of memory")


def test_a_plan_sums_up_what_can_be_measured() -> None:
    assert large.plan_line([FITS, LACKS]) == (
        "1 of 2 cases can be measured here, one after the other, in about 1 min, "
        "with 2.40 GB of memory and 1.80 GB of disk"
    )
    assert large.plan_line([LACKS]).startswith("0 of 1 cases")


SPEED = Rates(write=10, read=20, copy=100, quantize=50, forward=25, plain=100)
NEED = Budget(payload=200, memory=0, disk=0, bf16=400, distinct=50)


def test_an_estimate_counts_every_byte_and_weight() -> None:
    drawn, quantizing, calling, digesting, files = 8, 4, 3 * 8 + 2, 4, 20 + 20
    plain = STARTING + drawn + quantizing + calling + digesting + files
    assert estimate(NEED, SPEED, loads=False) == pytest.approx(plain)
    assert estimate(NEED, SPEED, loads=True) == pytest.approx(plain + 40 + 20)
    sharing = replace(SPEED, shares=True)
    assert estimate(NEED, sharing, loads=False) == pytest.approx(plain - 3)
    assert estimate(NEED, sharing, loads=True) == estimate(NEED, SPEED, loads=True)


def test_a_scheme_that_cannot_be_called_or_quantized_is_estimated_without() -> None:
    silent = replace(SPEED, forward=0, quantize=0)
    assert estimate(NEED, silent, loads=False) == pytest.approx(STARTING + 8 + 4 + 40)


def test_progress_is_told_in_bytes_and_time_left() -> None:
    now = Progress("save", 3 * 10**9, 12 * 10**9)
    assert large.progress_line("case", now, 5) == "case: save 3.0 of 12.00 GB, 15 s left"
    assert large.progress_line("case", Progress("forward", 0, 0), 5) == "case: forward, 5 s"
    hardly = Progress("save", 7, 12 * 10**9)
    assert large.progress_line("case", hardly, 5) == "case: save, 5 s"


def told(console: Console, *steps: tuple[float, Progress]) -> list[Any]:
    """Play progress at these times, and return what the bar holds."""
    now = steps[0][0]
    bar = text.progress(console)
    watcher = Watcher(bar, console, clock=lambda: now)
    for now, step in steps:  # noqa: B007 - the clock reads it
        watcher(CASE, step)
    return [(each.description, each.completed, each.total) for each in bar.tasks]


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(force_terminal=False, width=120)
    begin = 1000.0
    told(
        console,
        (begin, Progress("save", 0, 100)),
        (begin + 1, Progress("save", 1, 100)),
        (begin + LOG_SECONDS, Progress("save", 50, 100)),
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{CASE}: ") for line in lines] == [
        "save, 0 s",
        "save 0.0 of 0.00 GB, 10 s left",
    ]


def test_a_terminal_shows_one_part_at_a_time_with_its_bytes() -> None:
    console = Console(force_terminal=True, width=120)
    bars = told(
        console,
        (0.0, Progress("save", 1, 100)),
        (1.0, Progress("inspect", 7, 100)),
    )
    assert bars == [(f"{CASE} inspect", 7, 100)]


GIGA = 10**9
MEASURES = {
    "bf16_bytes": 4.0 * GIGA,
    "payload_bytes": 2.0 * GIGA,
    "file_bytes": 2.04 * GIGA,
    "floor.write": 1.0 * GIGA,
    "floor.read": 3.0 * GIGA,
    "floor.inspect": 4.0 * GIGA,
    "floor.quantize": 4e8,
    "save.seconds": 2.5,
    "save.ratio": 1.25,
    "save.peak_bytes": 2.7 * GIGA,
    "save.anonymous_bytes": 2.4 * GIGA,
    "save.mapped_bytes": 0.3 * GIGA,
    "load.seconds": 0.5,
    "load.ratio": 1.1,
    "load.peak_bytes": 2.8 * GIGA,
    "load.anonymous_bytes": 0.3 * GIGA,
    "load.mapped_bytes": 2.5 * GIGA,
    "bits.seconds": 0.3,
    "bits.peak_bytes": 2.8 * GIGA,
    "bits.anonymous_bytes": 0.3 * GIGA,
    "bits.mapped_bytes": 2.5 * GIGA,
}


def results(
    measures: dict[str, float],
    case: str = CASE,
    no_result: NoResult | None = None,
    findings: tuple[Finding, ...] = (),
) -> Results:
    steps = (Step(Stage.SAVE, 2.5), Step(Stage.LOAD, 0.5))
    outcome = Outcome(case, steps=steps, findings=findings, no_result=no_result, measures=measures)
    judgement = judge(outcome, ())
    header = Header.now({}, {}, Selection(), 1)
    footer = Footer(tally([judgement]), (), True, "2026-01-01T00:00:00+00:00")
    return Results(header, {case: Result(outcome, judgement)}, footer)


def test_measured_cases_are_tables_of_sizes_seconds_memory_and_floors() -> None:
    lines = large.measured_tables([results(MEASURES)]).splitlines()
    sizes = f"| {CASE} | 4,000,000,000 | 2,000,000,000 | 2,040,000,000 | 0.5100 | 0.52 |"
    assert sizes in lines
    seconds = f"| {CASE} | 3 |  |  |  |  |  | 2.5 (1.25) |  | 0.5 | 0.3 (1.10) |  | 1.20 |"
    assert seconds in lines
    writer, reader = "2.70 GB | 2.40 GB | 0.30 GB", "2.80 GB | 0.30 GB | 2.50 GB"
    assert f"| {CASE} | 2.76 GB | {writer} | {reader} | its own |" in lines
    assert f"| {CASE} | 1.00 | 3.00 | 4.00 |  |  | 400 |" in lines


def test_memory_of_a_gpu_has_columns_where_some_case_has_it() -> None:
    other = "cogvideox-2b.int8wo.quantize_.pickle.cuda"
    on_gpu = {**MEASURES, "save.gpu_bytes": 1.9 * GIGA, "load.gpu_bytes": 2.1 * GIGA}
    runs = [results(MEASURES), results(on_gpu, case=other)]
    lines = large.measured_tables(runs).splitlines()
    (head,) = [line for line in lines if line.startswith("| case | bound |")]
    assert head.endswith("| within | writer's GPU | reader's GPU |")
    (plain,) = [line for line in lines if line.startswith(f"| {CASE} | 2.76 GB")]
    assert plain.endswith("| its own |  |  |")
    (gpu,) = [line for line in lines if line.startswith(f"| {other} | 2.76 GB")]
    assert gpu.endswith("| its own | 1.90 GB | 2.10 GB |")
    assert not any("GPU |" in line for line in large.measured_tables(runs[:1]).splitlines())


@pytest.mark.parametrize(
    ("buffers", "own", "said"),
    [(0.0, 2.4, "its own"), (0.1, 2.4, "yes"), (0.0, 2.8, "no"), (0.1, 2.8, "yes")],
)
def test_memory_is_held_against_what_the_model_holds(buffers: float, own: float, said: str) -> None:
    measured = {"buffer_bytes": buffers * GIGA, "load.anonymous_bytes": own * GIGA}
    lines = large.measured_tables([results({**MEASURES, **measured})]).splitlines()
    bound = large.gigabytes(1.08 * (2.0 + buffers) * GIGA + 0.6 * GIGA)
    (line,) = [each for each in lines if each.startswith(f"| {CASE} | {bound} | 2.70 GB")]
    assert line.endswith(f"| {said} |")


def test_measured_cases_can_be_read_by_a_program(tmp_path: Path) -> None:
    path = results_file(tmp_path, *results(MEASURES).cases.values())
    ended = called("plan", "--measured", str(path), "--json", where=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (told,) = json.loads(ended.stdout)
    assert (told["case"], told["verdict"], told["measures"]) == (CASE, "pass", MEASURES)


def test_a_case_that_was_not_measured_is_named_with_the_reason() -> None:
    ended = NoResult(NoResultKind.SKIPPED, "needs 12.5 GiB of memory, 9.0 GiB are available")
    lines = large.measured_tables([results({}, no_result=ended)]).splitlines()
    reason = "needs 12.5 GiB of memory, 9.0 GiB are available"
    assert f"| {CASE} | no result: skipped | yes | {reason} |" in lines
    assert sum(CASE in line for line in lines) == 1


def test_a_case_that_is_not_as_expected_says_what_was_not() -> None:
    found = replace(finding(stage=Stage.OUTPUT, check="accuracy"), what="SQNR is below the floor")
    lines = large.measured_tables([results(MEASURES, findings=(found,))]).splitlines()
    (line,) = [each for each in lines if each.startswith(f"| {CASE} | corrupt | no | ")]
    assert "not covered by an expectation: accuracy 'SQNR is below the floor'" in line


def test_cases_that_are_not_large_have_no_line() -> None:
    assert TINY not in large.measured_tables([results(MEASURES, case=TINY)])
