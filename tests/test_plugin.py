"""The pytest face: one item a case, told as it ended, written down, and never green by mistake."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from stand_in import CTRL_C, FOOTER, FULL, FULL_HERE, FULL_RESULTS, KNOWN_BUG, OBSOLETE

import conformance
from conformance import pytest_controller, pytest_item
from conformance.axes.base import Device
from conformance.case import default_cases, find, select
from conformance.judging.parts import read_begun
from conformance.judging.results import Results, read_results
from conformance.judging.verdicts import Verdict
from conformance.pytest_scheduling import is_case
from conformance.roundtrip.outcome import NoResultKind

TESTS = str(Path(__file__).parent)
IMPORTED = (pytest_controller, pytest_item)
"""Runs inside this process must find them imported: pytester takes away again what they import."""
CODE = str(Path(conformance.__file__).parents[1])
"""Another checkout may be the one that is installed."""
INT8 = "flux-tiny.int8wo.quantize_"
ITEM = re.compile(r"test_comes_back_as_saved\[([^\]]+)\]")

# A run inside a test must not take itself for a worker of the run that it is tested in.
OUTSIDE = {name: value for name, value in os.environ.items() if "XDIST" not in name}

Ran = subprocess.CompletedProcess[str]
Suite = Callable[..., Ran]


def suite(directory: Path, *arguments: str, engine: str = "stand_in", **environment: str) -> Ran:
    """Run `pytest --pyargs conformance` where nothing of this checkout lies."""
    plugin = ["-p", engine] if engine else []
    path = os.pathsep.join((environment.pop("PYTHONPATH", TESTS), CODE))
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "--pyargs", "conformance", *arguments],
        cwd=directory,
        env={**OUTSIDE, "PYTHONPATH": path, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        # A shell starts what it puts into the background with Ctrl-C ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture
def process(tmp_path: Path) -> Suite:
    """Run it in a process of its own, where that is the point."""
    return partial(suite, tmp_path)


@pytest.fixture
def run(
    pytester: pytest.Pytester,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Suite:
    """Run it in this process, whose imports are paid once."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str, engine: str = "stand_in") -> Ran:
        plugin = ["-p", engine] if engine else []
        command = [*plugin, "--pyargs", "conformance", *arguments]
        ended = pytester.runpytest_inprocess(*command)
        return Ran(command, ended.ret, *capfd.readouterr())

    return go


def items(ran: Ran) -> list[str]:
    return ITEM.findall(ran.stdout)


def expectations(directory: Path, text: str) -> str:
    path = directory / "expectations.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Results]:
    """A run in which a case passes, is a known bug, fails, passes unexpectedly, is skipped."""
    directory = tmp_path_factory.mktemp("mixed")
    chosen = [
        "pickle.cpu",
        "pickle-sharded.cpu",
        "safetensors.cpu",
        "state-dict.cpu",
        "pickle.cuda",
    ]
    globs = [word for each in chosen for word in ("--select", f"{INT8}.{each}")]
    declared = expectations(directory, KNOWN_BUG + OBSOLETE)
    ran = suite(
        directory, *globs, "--expectations", declared, "--results", "found.jsonl", "-rA", "-v"
    )
    return ran, read_results(directory / "found.jsonl")


def test_an_item_is_a_case(run: Suite) -> None:
    found = items(
        run("--collect-only", "-q", "--select", f"{INT8}.*", "--select", "flux-tiny.nf4.*")
    )
    assert found == [case.id for case in select([f"{INT8}.*", "flux-tiny.nf4.*"])]


def test_collecting_every_case_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "no_torch.py").write_text("import sys\nsys.modules['torch'] = None\n")
    ran = suite(tmp_path, "--collect-only", "-q", engine="no_torch", PYTHONPATH=str(tmp_path))
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert items(ran) == [case.id for case in default_cases()]


def test_every_axis_has_a_marker(run: Suite) -> None:
    expression = "tiny and cpu and flux and int8wo and quantize_ and pickle-sharded"
    assert items(run("--collect-only", "-q", "-m", expression)) == [f"{INT8}.pickle-sharded.cpu"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("expression", "cases"),
    [
        (
            "small and flux and int8wo and quantize_ and pickle",
            ["flux-small.int8wo.quantize_.pickle.cpu"],
        ),
        (
            "gpu and flux and int8wo and quantize_ and pickle",
            [f"{INT8}.pickle.{device}" for device in ("cuda", "cuda-to-cpu", "cpu-to-cuda")],
        ),
    ],
)
def test_a_marker_brings_in_sizes_and_devices(
    run: Suite, expression: str, cases: list[str]
) -> None:
    assert items(run("--collect-only", "-q", "-m", expression)) == cases


@pytest.mark.thorough
def test_a_marker_that_is_denied_takes_away_nothing_else(run: Suite) -> None:
    expression = "not small and flux and int8wo and quantize_ and pickle"
    assert items(run("--collect-only", "-q", "-m", expression)) == [f"{INT8}.pickle.cpu"]


def test_collecting_leaves_results_alone(run: Suite, tmp_path: Path) -> None:
    (tmp_path / "found.jsonl").write_text("measured for hours")
    ran = run("--collect-only", "-q", "--select", f"{INT8}.*", "--results", "found.jsonl")
    assert ran.returncode == pytest.ExitCode.OK
    assert (tmp_path / "found.jsonl").read_text() == "measured for hours"


@pytest.mark.thorough
def test_it_runs_without_xdist(process: Suite) -> None:
    ran = process("-q", "-p", "no:xdist", "--select", f"{INT8}.pickle.cpu")
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout
    assert "1 of 1 cases were measured; all are as expected" in ran.stdout


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_no_time_for_a_case_is_a_usage_error(run: Suite, seconds: str) -> None:
    ran = run(f"--case-timeout={seconds}")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"argument --case-timeout: {seconds} is not in the range x>=1" in ran.stderr


def test_a_keyword_chooses(run: Suite) -> None:
    found = items(run("--collect-only", "-q", "--select", "*-tiny.int8wo.*.cpu", "-k", "flux"))
    assert found == [case.id for case in select(["flux-tiny.int8wo.*.cpu"])]


def test_without_cuda_a_gpu_run_is_not_green(run: Suite) -> None:
    ran = run("-q", "-m", "gpu", "--select", f"{INT8}.*")
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    asked = [each for each in select([f"{INT8}.*"]) if "gpu" in each.markers]
    assert {each.device for each in asked} == set(Device) - {Device.CPU}
    assert f"0 of {len(asked)} cases were measured" in ran.stdout
    assert "skipped at resolve: no CUDA" in ran.stdout


def test_a_run_ends_red_for_what_is_not_expected(mixed: tuple[Ran, Results]) -> None:
    ran, _ = mixed
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed" in ran.stdout
    assert "4 of 5 cases were measured; 2 are not as expected" in ran.stdout


def test_a_failing_case_shows_the_ladder_the_failure_and_the_way_back(
    mixed: tuple[Ran, Results],
) -> None:
    ran, _ = mixed
    assert "✗ save 2 ms" in ran.stdout
    assert "RuntimeError at save (same reader): [red]no storage[/red]" in ran.stdout
    assert "left behind: x" in ran.stdout
    assert (
        f"again: conformance run --select '{INT8}.safetensors.cpu' --results again.jsonl"
        in ran.stdout
    )


def test_a_case_that_passes_under_an_expectation_is_red(mixed: tuple[Ran, Results]) -> None:
    ran, results = mixed
    assert "obsolete: passes under the expectation mended" in ran.stdout
    assert not results.cases[f"{INT8}.state-dict.cpu"].judgement.as_expected


def test_findings_are_a_table(run: Suite) -> None:
    ran = run("-q", "--select", f"{INT8}.pickle-sharded.cpu")
    assert re.search(r"check +path +what +wanted +got +reader", ran.stdout)
    assert re.search(r"requires_grad +proj_in.weight +came back True +False +True", ran.stdout)


def test_a_known_bug_is_an_xfail_and_a_skip_says_why(mixed: tuple[Ran, Results]) -> None:
    ran, _ = mixed
    assert re.search(r"XFAIL .*pickle-sharded.cpu\] - altered: shards-require-grad", ran.stdout)
    assert re.search(r"SKIPPED .*: no CUDA", ran.stdout)


def test_the_results_file_has_each_case_once(mixed: tuple[Ran, Results]) -> None:
    _, results = mixed
    assert len(results.cases) == results.header.planned == 5
    assert results.footer.complete
    assert results.tally.verdicts[Verdict.ALTERED] == 1
    assert results.tally.no_results[NoResultKind.SKIPPED] == 1


@pytest.mark.slow
def test_xdist_keeps_groups_together_and_writes_each_case_once(
    process: Suite, tmp_path: Path
) -> None:
    globs = [
        f"{subject}-tiny.{scheme}.*.cpu"
        for subject in ("flux", "cogvideox")
        for scheme in ("int8wo", "nf4")
    ]
    ran = process(
        "-n", "2", "-v", "--results", "found.jsonl", *(f"--select={each}" for each in globs)
    )
    placed = re.findall(r"\[(gw\d)\].*?test_comes_back_as_saved\[([^\]]+)\]", ran.stdout)
    workers: dict[str, set[str]] = {}
    for worker, case_id in placed:
        workers.setdefault(find(case_id).group, set()).add(worker)
    assert all(len(each) == 1 for each in workers.values())
    assert set.union(*workers.values()) == {"gw0", "gw1"}
    results = read_results(tmp_path / "found.jsonl")
    assert set(results.cases) == {case.id for case in select(globs)}
    assert results.footer.complete


TELLS = """
def pytest_terminal_summary(terminalreporter, config):
    chosen = config.pluginmanager.getplugin("dsession").sched.chosen
    terminalreporter.write_line(f"scheduled by {type(chosen).__name__}")
"""
FOREIGN = """
import pytest

@pytest.mark.parametrize("case", ["flux-tiny", "flux-tiny.other.cpu", "a.b"])
def test_theirs(case):
    assert case
"""
OURS = """
def test_ours(case):
    assert case.id
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("tests", "scheduler", "passed"),
    [(FOREIGN, "LoadScheduling", 3), (FOREIGN + OURS, "GroupScheduling", 10)],
    ids=["without-cases", "with-cases"],
)
def test_only_a_session_with_cases_is_scheduled_by_us(
    tmp_path: Path, tests: str, scheduler: str, passed: int
) -> None:
    (tmp_path / "conftest.py").write_text(TELLS)
    (tmp_path / "test_theirs.py").write_text(tests)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-q", "--select", f"{INT8}.*.cpu"],
        cwd=tmp_path,
        env={**OUTSIDE, "PYTHONPATH": CODE},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout
    assert f"{passed} passed" in ran.stdout
    assert f"scheduled by {scheduler}\n" in ran.stdout


@pytest.mark.parametrize(
    ("nodeid", "ours"),
    [
        (f"conformance/suite/test_roundtrip.py::test_comes_back_as_saved[{INT8}.pickle.cpu]", True),
        ("test_a.py::test_b[flux-tiny.cpu]", True),
        (f"test_a.py::test_b[{INT8}.cpu]", True),
        ("test_a.py::test_b[flux-tiny.other.cpu]", False),
        ("test_a.py::test_b[1.5]", False),
        ("test_a.py::test_b", False),
    ],
    ids=["case", "model", "quantized", "no-case", "dotted", "plain"],
)
def test_an_item_is_told_to_be_a_case(nodeid: str, ours: bool) -> None:
    assert is_case(nodeid) == ours


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--results", "missing/found.jsonl"), "cannot write the results to missing/found.jsonl"),
        (("--expectations", "typo.toml"), "typo.toml"),
        (("--select", "flux-tinny.*"), "'flux-tinny.*' matches no case"),
    ],
)
def test_bad_input_is_one_line_before_any_case(
    run: Suite, tmp_path: Path, arguments: tuple[str, str], said: str
) -> None:
    (tmp_path / "typo.toml").write_text(KNOWN_BUG.replace("reason", "raeson"))
    ran = run("-q", "--select", f"{INT8}.pickle.cpu", *arguments)
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in (ran.stdout + ran.stderr).splitlines() if line.startswith("ERROR")]
    assert said in line
    assert "passed" not in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def test_after_the_first_failure_the_results_are_partial(run: Suite, tmp_path: Path) -> None:
    ran = run("-x", "-q", "--select", f"{INT8}.*.cpu", "--results", "found.jsonl")
    assert ran.returncode == pytest.ExitCode.TESTS_FAILED
    results = read_results(tmp_path / "found.jsonl")
    assert not results.footer.complete
    assert 0 < len(results.cases) < results.header.planned == 7
    assert "partial results: found.jsonl" in ran.stdout


@pytest.mark.thorough
@pytest.mark.parametrize(
    "more", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_ctrl_c_keeps_what_was_measured(
    process: Suite, tmp_path: Path, more: tuple[str, ...]
) -> None:
    chosen = ("--select", f"{INT8}.*.cpu", "--results", "found.jsonl")
    ran = process("-q", *chosen, *more, **{CTRL_C: "state-dict"})
    assert ran.returncode == pytest.ExitCode.INTERRUPTED
    results = read_results(tmp_path / "found.jsonl")
    assert f"{INT8}.pickle.cpu" in results.cases
    assert not results.footer.complete
    assert "were not run" in ran.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("where", [FULL, FULL_HERE, FULL_RESULTS])
@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_full_disk_is_one_line_and_keeps_what_was_measured(
    process: Suite, tmp_path: Path, where: str, more: tuple[str, ...]
) -> None:
    path = tmp_path / "r.jsonl"
    chosen = ("--select", f"{INT8}.*.cpu", "--results", str(path))
    ran = process("-q", *chosen, *more, **{where: "state-dict"})
    kept = f"free some, and run it again; what was measured is in {path}"
    assert ran.returncode == 3
    (told,) = [line for line in ran.stdout.splitlines() if "no space left: " in line]
    assert kept in told
    assert "Traceback (most" not in ran.stdout + ran.stderr
    cases = read_begun(path).cases
    assert f"{INT8}.state-dict.cpu" not in cases
    assert len(cases) >= 4 or more
    if where != FULL_RESULTS:
        assert not read_results(path).footer.complete


@pytest.mark.thorough
@pytest.mark.parametrize("more", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_no_room_for_the_footer_is_one_line(
    process: Suite, tmp_path: Path, more: tuple[str, ...]
) -> None:
    path = tmp_path / "r.jsonl"
    chosen = ("--select", f"{INT8}.pickle.cpu", "--results", str(path))
    ran = process("-q", *chosen, *more, **{FULL_RESULTS: FOOTER})
    assert ran.returncode == 3
    (told,) = [line for line in ran.stdout.splitlines() if "no space left: " in line]
    assert told.endswith(f"what was measured is in {path}")
    assert "Traceback (most" not in ran.stdout + ran.stderr
    assert list(read_begun(path).cases) == [f"{INT8}.pickle.cpu"]


def test_a_real_case_passes(run: Suite) -> None:
    ran = run("-q", "--select", "flux-tiny.intx4.quantize_.pickle.cpu", engine="")
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout
    assert "1 of 1 cases were measured; all are as expected" in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_libraries_that_do_not_import_end_the_run(
    process: Suite, tmp_path: Path, more: tuple[str, ...]
) -> None:
    (tmp_path / "torchao.py").write_text("raise ImportError('libtorchao.so is broken')\n")
    chosen = ("--select", f"{INT8}.pickle*.cpu", "--results", "found.jsonl")
    ran = process("-q", *chosen, *more, engine="", PYTHONPATH=str(tmp_path))
    assert ran.returncode in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert "install versions that do" in ran.stdout
    assert "INTERNALERROR" not in ran.stdout
    assert not read_results(tmp_path / "found.jsonl").footer.complete
