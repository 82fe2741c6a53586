"""The entry for a machine with CUDA: all of it but CUDA, with stand-ins for torch and the suite."""

import json
import os
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from shell_entries import Ended, run_entry

ROOT = Path(__file__).parents[1]
ENTRY = ROOT / "ci" / "gpu.sh"

CONFORMANCE = """#!{python}
import json, os, sys, time
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
codes = json.loads(os.environ.get("CODES", "{{}}"))
named = [each for each in arguments if each in codes]
if arguments[0] == "run" and "COUNTS" in os.environ:
    with open(arguments[arguments.index("--results") + 1], "w") as results:
        results.write("a case\\n" + os.environ["COUNTS"] + "\\n")
if os.environ.get("SLEEPS") in arguments:
    print("asleep", os.getpid(), file=sys.stderr, flush=True)
    time.sleep(600)
print("this is what it printed:", *arguments[:1])
sys.exit(codes[named[0]] if named else 0)
"""
TORCH = """
import os, sys

os.sched_getaffinity = lambda _: range({cores})
sys.version_info = {python}
__version__ = "2.11.0+cu130"

class cuda:
    is_available = staticmethod(lambda: {gpus} > 0)
    device_count = staticmethod(lambda: {gpus})
"""
PYTHON = """#!/bin/bash
# Tells the arguments; makes a virtual environment of itself, and installs nothing.
printf '%s\\n' "$*" >>"$PIP_CALLS"
case "$*" in
  "-m venv"*)
    bin=${{!#}}/bin
    mkdir -p "$bin" && cp "$0" "$bin/python" && cp "$(dirname "$0")/conformance" "$bin/" ;;
  "-m pip"*)
    while [[ $1 != -c ]]; do shift; done
    cp "$2" "$PINS"; exit "${{PIP_CODE:-0}}" ;;
  *) exec {python} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A directory to stand in, with stand-ins beside it."""

    place: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> Ended:
        calls = self.place / "calls"
        calls.write_text("")
        given = {**self.variables, "CALLS": str(calls), **variables}
        return run_entry([str(ENTRY), *arguments], self.place, given, calls)


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def machine(place: Path, gpus: int, cores: int = 16, python: tuple[int, int] = (3, 11)) -> Machine:
    (place / "bin").mkdir()
    (place / "modules").mkdir()
    torch = TORCH.format(gpus=gpus, cores=cores, python=python)
    (place / "modules" / "torch.py").write_text(torch)
    executable(place / "bin" / "conformance", CONFORMANCE.format(python=sys.executable))
    executable(place / "bin" / "fake-python", PYTHON.format(python=sys.executable))
    return Machine(
        place,
        {
            "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(place / "modules"),
            "PYTHON": "fake-python",
            "PIP_CALLS": str(place / "pip-calls"),
            "PINS": str(place / "pins"),
        },
    )


@pytest.fixture
def with_gpus(tmp_path: Path) -> Machine:
    return machine(tmp_path, gpus=2)


def test_every_part_is_run_and_a_table_comes_last(with_gpus: Machine) -> None:
    ended = with_gpus.run("--installed")
    assert ended.code == 0
    runs = [call for call in ended.calls if call[0] == "run"]
    assert runs[0] == [
        *("run", "--marker", "gpu", "--marker", "tiny", "-n", "8"),
        *("--results", "conformance-gpu/tiny.jsonl"),
    ]
    assert runs[2][-2:] == ["--pictures", "conformance-gpu/pictures"]
    assert ended.calls[-2] == [
        *("bench", "model", "flux-schnell", "--device", "cuda", "--compile"),
        *("--results", "conformance-gpu/bench.json", "--plot", "conformance-gpu/bench.svg"),
    ]
    *_, head, env, tiny, small, pipeline, bench, full, last = ended.stdout.splitlines()
    assert head.split() == ["part", "exit", "seconds", "measured", "unexpected", "no", "result"]
    rows = [each.split()[:2] for each in (env, tiny, small, pipeline, bench, full)]
    assert rows == [[name, "0"] for name in ("env", "tiny", "small", "pipeline", "bench", "full")]
    assert last == "results: conformance-gpu"
    kept = (with_gpus.place / "conformance-gpu" / "tiny.txt").read_text()
    assert kept == "this is what it printed: run\n"


def test_large_models_are_run_last_and_one_at_a_time_on_the_machine(with_gpus: Machine) -> None:
    ended = with_gpus.run("--installed", "--sizes", "full,small", "--workers", "9", "--no-bench")
    runs = [call for call in ended.calls if call[0] == "run"]
    assert [call[call.index("-n") - 1 :][:3:2] for call in runs] == [["small", "9"], ["full", "1"]]
    assert "bench" not in {call[0] for call in ended.calls}


@pytest.mark.parametrize(
    ("gpus", "cores", "engines"), [(1, 16, 4), (1, 2, 2), (2, 16, 8), (8, 4, 8)]
)
def test_engines_are_one_a_core_but_four_a_gpu_at_most_and_one_at_least(
    gpus: int, cores: int, engines: int, tmp_path: Path
) -> None:
    ended = machine(tmp_path, gpus, cores).run("--installed", "--sizes", "tiny", "--no-bench")
    (run,) = [call for call in ended.calls if call[0] == "run"]
    assert run[run.index("-n") + 1] == str(engines)


FOOTER = {
    "verdicts": {"pass": 30, "corrupt": 2, "refused": 0},
    "no_results": {"skipped": 4, "timeout": 1},
    "expected": 34,
    "unexpected": 3,
}


@pytest.mark.parametrize(
    ("written", "cells"),
    [
        (json.dumps({"line": "footer", "counts": FOOTER}), ["32", "3", "5"]),
        ('{"line": "case"}', ["-", "-", "-"]),
    ],
)
def test_the_table_has_the_numbers_of_cases_where_a_run_came_to_its_end(
    written: str, cells: list[str], with_gpus: Machine
) -> None:
    ended = with_gpus.run("--installed", "--sizes", "tiny", "--no-bench", COUNTS=written)
    *_, env, tiny, _ = ended.stdout.splitlines()
    assert tiny.split()[3:] == cells
    assert env.split()[3:] == ["-", "-", "-"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_what_is_broken_off_goes_on_with_nothing_and_leaves_nothing(
    how: signal.Signals, with_gpus: Machine
) -> None:
    place = with_gpus.place
    calls = place / "calls"
    given = {"CALLS": str(calls), "SLEEPS": "tiny", "TMPDIR": str(place)}
    process = subprocess.Popen(
        [str(ENTRY), "--installed"],
        cwd=place,
        env={**with_gpus.variables, **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = next(each for each in iter(process.stderr.readline, "") if "asleep" in each)
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not psutil.pid_exists(int(line.split()[1]))
    assert [json.loads(each)[0] for each in calls.read_text().splitlines()] == ["env", "run"]
    assert said.splitlines()[-2].split()[:2] == ["env", "0"]
    assert list(place.glob("gpu.*")) == []


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ({"tiny": 1, "small": 3}, 1),
        ({"tiny": 3, "small": 1}, 1),
        ({"bench": 3}, 3),
        ({"small": 139}, 3),
        ({"small": 2, "pipeline": 0}, 3),
    ],
)
def test_the_worst_part_decides(with_gpus: Machine, codes: dict[str, int], code: int) -> None:
    assert with_gpus.run("--installed", CODES=json.dumps(codes)).code == code


def test_without_a_gpu_nothing_is_installed_or_run(tmp_path: Path) -> None:
    ended = machine(tmp_path, gpus=0).run()
    assert (ended.code, ended.calls) == (3, [])
    assert ended.stderr == (
        "gpu.sh: inconclusive: torch 2.11.0+cu130 sees no CUDA device; nothing was run\n"
    )
    assert "pip" not in (tmp_path / "pip-calls").read_text()


def test_without_torch_it_says_so(with_gpus: Machine) -> None:
    (with_gpus.place / "modules" / "torch.py").write_text("raise ImportError('no torch')")
    ended = with_gpus.run("--installed")
    assert ended.code == 3
    assert "install one for this machine's CUDA" in ended.stderr


def test_the_torch_of_the_machine_stays_and_the_rest_is_pinned(with_gpus: Machine) -> None:
    (with_gpus.place / "wheels").mkdir()
    ended = with_gpus.run("--wheels", "wheels", "--sizes", "tiny", "--no-bench")
    assert ended.code == 0, ended.stderr
    pins = (with_gpus.place / "pins").read_text().splitlines()
    assert [each for each in pins if each.startswith("torch==")] == ["torch==2.11.0+cu130"]
    assert "torchao==0.18.0" in pins
    assert len(pins) == len((ROOT / "ci" / "constraints.txt").read_text().splitlines())
    (install,) = (e for e in (with_gpus.place / "pip-calls").read_text().splitlines() if "pip" in e)
    assert "--no-index --find-links wheels" in install
    assert install.endswith(f"{ROOT}[pipelines,plot]")
    venv = (with_gpus.place / "pip-calls").read_text().splitlines()[1]
    assert venv.startswith("-m venv --system-site-packages ")


def test_an_older_python_has_torch_pinned_and_nothing_else(tmp_path: Path) -> None:
    ended = machine(tmp_path, gpus=1, python=(3, 10)).run("--sizes", "tiny", "--no-bench")
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "pins").read_text() == "torch==2.11.0+cu130\n"
    said = "gpu.sh: the pins are for Python 3.11 or newer; with 3.10 only torch is pinned\n"
    assert said in ended.stderr


SAID = 'print("this'
PLACE = f"import torch\nprint(torch.__version__, torch.__file__)\n{SAID}"
SUITE = {
    "1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toysuite\nVersion: 1.0\n",
    "1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "1.0.dist-info/RECORD": "",
    "1.0.data/scripts/conformance": CONFORMANCE.format(python="python").replace(SAID, PLACE),
}
"""A wheel whose command says which torch it finds."""


@pytest.fixture
def in_environment(tmp_path: Path) -> Machine:
    """A machine whose Python is that of a virtual environment, with a toy torch in it."""
    venv.create(tmp_path / "own", with_pip=False)
    (site,) = (tmp_path / "own").glob("lib/python*/site-packages")
    (site / "torch.py").write_text(TORCH.format(gpus=1, cores=2, python=(3, 11)))
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "toysuite-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in SUITE.items():
            entry = zipfile.ZipInfo(f"toysuite-{name}")
            entry.external_attr = 0o100755 << 16
            wheel.writestr(entry, text)
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHON": str(tmp_path / "own" / "bin" / "python"),
        "CONFORMANCE_SUITE": "toysuite",
    }
    return Machine(tmp_path, variables)


@pytest.mark.thorough
def test_the_torch_of_an_environment_is_found_by_the_one_that_is_made(
    in_environment: Machine,
) -> None:
    ended = in_environment.run("--wheels", "wheels", "--sizes", "tiny", "--no-bench")
    assert ended.code == 0, ended.stderr
    printed = (in_environment.place / "conformance-gpu" / "tiny.txt").read_text().split()
    (torch,) = (in_environment.place / "own").glob("lib/python*/site-packages/torch.py")
    assert printed[:2] == ["2.11.0+cu130", str(torch)]


@pytest.mark.thorough
def test_where_it_is_another_torch_nothing_is_installed(in_environment: Machine) -> None:
    hidden = in_environment.place / "hidden"
    (torch,) = (in_environment.place / "own").glob("lib/python*/site-packages/torch.py")
    hidden.mkdir()
    torch.rename(hidden / "torch.py")
    # Seen by the Python of the machine, which a .pth file leads there, and by no other.
    (torch.parent / "hidden.pth").write_text(f"{hidden}\n")
    ended = in_environment.run("--wheels", "wheels")
    assert (ended.code, ended.calls) == (3, [])
    assert "has no torch, not its torch 2.11.0+cu130; set PYTHON" in ended.stderr.splitlines()[-1]


def test_what_cannot_be_installed_is_inconclusive(with_gpus: Machine) -> None:
    ended = with_gpus.run(PIP_CODE="1")
    assert (ended.code, ended.calls) == (3, [])
    assert "cannot be installed" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--sizes", "huge"], "tiny, small, pipeline and full"),
        (["--workers", "0"], "no number of workers"),
        (["--wheels", "nowhere"], "no folder 'nowhere'"),
        (["--fast"], "no option --fast"),
        (["--results"], "wants a value"),
    ],
)
def test_a_wrong_call_is_one_line_with_the_mend(
    with_gpus: Machine, arguments: list[str], word: str
) -> None:
    ended = with_gpus.run(*arguments)
    assert (ended.code, ended.calls) == (2, [])
    assert word in ended.stderr
    assert ended.stderr.endswith("ci/gpu.sh --help shows how\n")
    assert len(ended.stderr.splitlines()) == 1


def test_help_tells_every_option(with_gpus: Machine) -> None:
    ended = with_gpus.run("--help")
    assert ended.code == 0
    options = ("--results", "--sizes", "--wheels", "--workers", "--no-bench", "--installed")
    assert all(option in ended.stdout for option in options)
