"""The shell entry that other people's CI runs, run for real with a stand-in for the command."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from shell_entries import Ended, run_entry

from conformance.versions.suite_wheel import declared, zipped

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]
GATE = ROOT / "ci" / "gate.sh"
OLD, NEW = "torchao==0.17.0 diffusers==0.42.1", "torchao>=0.18, <0.19 @ x"

STAND_IN = """\
import json, os, sys
from pathlib import Path

def main():
    arguments = sys.argv[1:]
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(arguments) + "\\n")
    command = next(each for each in arguments if not each.startswith("-") and "." not in each)
    codes = json.loads(os.environ.get("CODES", "{}"))
    if command == "gate":
        print("the gate's first line")
        if "WRITES" in os.environ:
            summary = Path(arguments[arguments.index("--results") + 1], "gate.md")
            summary.write_text(os.environ["WRITES"])
    if command == "envs":
        words = {"name": "e", "lacks": "does not resolve", "words": "no such version"}
        made = {"ready": not codes.get("envs"), "python": os.environ["INTERPRETER"], **words}
        print(json.dumps([made]))
    return codes.get(command, 0)
"""


@dataclass(frozen=True)
class Place:
    """A directory to stand in, with a stand-in for the command beside it."""

    here: Path
    calls: Path
    variables: Mapping[str, str]

    def run(self, *arguments: str, **variables: str) -> Ended:
        given = {**self.variables, **variables}
        return run_entry(["bash", str(GATE), *arguments], self.here, given, self.calls)

    def gate(self, *arguments: str, **variables: str) -> Ended:
        both = ("--installed", "--baseline", OLD, "--candidate", NEW)
        return self.run(*both, *arguments, **variables)

    @property
    def left(self) -> list[str]:
        """What lies here, and in the directory for temporary files."""
        roots = (self.here, Path(self.variables["TMPDIR"]))
        return sorted(p.relative_to(root).as_posix() for root in roots for p in root.rglob("*"))


def program(path: Path) -> str:
    path.write_text(f"#!{sys.executable} -I\n{STAND_IN}\nsys.exit(main())\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folders = {name: tmp_path / name for name in ("here", "bin", "temporary files")}
    for folder in folders.values():
        folder.mkdir()
    program(folders["bin"] / "conformance")
    kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
    variables = {
        **kept,
        "PATH": f"{folders['bin']}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "TMPDIR": str(folders["temporary files"]),
        "CALLS": str(tmp_path / "calls"),
        "INTERPRETER": program(folders["bin"] / "interpreter"),
    }
    return Place(folders["here"], tmp_path / "calls", variables)


CLEARED = (
    *("BASELINE", "CANDIDATE", "SELECT", "DEVICE", "ACCEPT", "RESULTS", "WORKERS", "SHARD"),
    *("GITHUB_STEP_SUMMARY", "RUNNER_TEMP", "CONFORMANCE_SUITE", "PYTHONPATH"),
)
"""What a CI around these tests may have set."""


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_the_exit_code_is_that_of_the_gate(code: int, place: Place) -> None:
    ended = place.gate(CODES=json.dumps({"gate": code}))
    assert ended.code == code
    assert ended.stdout == "the gate's first line\n"
    assert place.left == ["conformance-gate", "conformance-gate/gate.txt"]


def test_a_gate_that_died_is_inconclusive(place: Place) -> None:
    ended = place.gate(CODES='{"gate": 137}')
    assert (ended.code, ended.stderr) == (3, "gate.sh: inconclusive: the gate ended with 137\n")


def test_every_option_reaches_the_gate_as_it_was_written(place: Place) -> None:
    (place.here / "my reviewed.toml").touch()
    ended = place.gate(
        *("--select", "flux-*.int8wo.*", "--select", "$(touch x)'\"", "--device", "cuda"),
        *("--accept", "my reviewed.toml", "--results", "some results", "--workers", "2"),
    )
    assert ended.calls == [
        [
            *("gate", "--baseline", OLD, "--candidate", NEW, "-n", "2", "--marker", "gpu"),
            *("--select", "flux-*.int8wo.*", "--select", "$(touch x)'\""),
            *("--results", "some results", "--accept", "my reviewed.toml"),
        ]
    ]
    assert place.left == ["my reviewed.toml", "some results", "some results/gate.txt"]


def test_variables_stand_for_options(place: Place) -> None:
    variables = {"BASELINE": OLD, "CANDIDATE": NEW, "SELECT": "a*\n\n b c\n", "DEVICE": "cpu"}
    ended = place.run("--installed", RESULTS="out", WORKERS="3", **variables)
    assert ended.calls == [
        [
            *("gate", "--baseline", OLD, "--candidate", NEW, "-n", "3", "--marker", "cpu"),
            *("--select", "a*", "--select", " b c", "--results", "out"),
        ]
    ]
    again = place.run("--installed", "--select", "d*", **variables)
    assert again.calls[1][-4:] == ["--select", "d*", "--results", "conformance-gate"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what you have: --baseline ENV"),
        (["--baseline", OLD], "name what you would have: --candidate ENV"),
        (["--baseline"], "--baseline wants a value"),
        (["--base", OLD], "no option --base"),
        (["--baseline", OLD, "--candidate", NEW, "--shard", "0/2"], "no shard '0/2'; write 1/4"),
        (["--baseline", OLD, "--candidate", NEW, "--device", "tpu"], "no device 'tpu'"),
        (["--baseline", OLD, "--candidate", NEW, "--accept", "a b"], "there is no file 'a b'"),
        (["--baseline", OLD, "--candidate", NEW, "--shard", "1/2", "--merge"], "--shard runs a"),
        (["--baseline", OLD, "--candidate", "x-*.whl"], "x-*.whl is 0 files, and must be one"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], said: str, place: Place) -> None:
    ended = place.run(*arguments)
    assert ended.code == 2
    assert ended.stderr.startswith(f"gate.sh: {said}")
    assert ended.stderr.count("\n") == 1
    assert (ended.stdout, ended.calls, place.left) == ("", [], [])


def test_a_command_or_python_that_is_missing_is_one_line(place: Place) -> None:
    ended = place.gate(PYTHON="no-such-python")
    assert (ended.code, ended.stderr.count("\n"), place.left) == (2, 1, [])
    ended = place.run("--baseline", OLD, "--candidate", NEW, PYTHON="false")
    assert (ended.code, place.left) == (2, [])
    assert ended.stderr.startswith("gate.sh: PYTHON=false is no Python 3.10 or newer")
    (place.here.parent / "bin" / "conformance").unlink()
    ended = place.gate(PATH="/usr/bin:/bin")
    assert (ended.code, ended.stderr.count("\n"), place.left) == (2, 1, [])


def test_help_is_printed() -> None:
    done = subprocess.run([GATE, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ci/gate.sh --baseline ENV --candidate ENV [OPTION]...\n")


def test_a_wheel_is_found_by_its_pattern(place: Place) -> None:
    (place.here / "dist").mkdir()
    (place.here / "dist" / "torchao-0.19.0.dev1-py3-none-any.whl").touch()
    both = ("--installed", "--baseline", OLD)
    ended = place.run(*both, "--candidate", "dist/torchao-*.whl  diffusers==0.42.*")
    assert ended.calls[0][4] == "dist/torchao-0.19.0.dev1-py3-none-any.whl diffusers==0.42.*"
    (place.here / "dist" / "torchao-0.19.0.dev2-py3-none-any.whl").touch()
    again = place.run(*both, "--candidate", "dist/torchao-*.whl  diffusers==0.42.*")
    assert (again.code, again.stderr.partition(";")[0]) == (
        2,
        "gate.sh: dist/torchao-*.whl is 2 files, and must be one",
    )


def test_the_summary_is_what_the_gate_wrote(place: Place, tmp_path: Path) -> None:
    summary = tmp_path / "step summary.md"
    summary.write_text("before\n")
    ended = place.gate(
        GITHUB_STEP_SUMMARY=str(summary), WRITES="## the summary\n", CODES='{"gate": 1}'
    )
    assert (ended.code, summary.read_text()) == (1, "before\n## the summary\n")
    assert [call[0] for call in ended.calls] == ["gate"]


@pytest.mark.parametrize("code", [2, 3])
def test_without_an_answer_the_summary_says_so(code: int, place: Place, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    place.gate(GITHUB_STEP_SUMMARY=str(summary), CODES=json.dumps({"gate": code}))
    first, _, rest = summary.read_text().partition("\n")
    assert first == f"## The gate gave no answer (exit code {code})"
    assert "    the gate's first line\n" in rest


def test_a_shard_runs_both_sides_in_their_environments(place: Place) -> None:
    ended = place.gate("--shard", "2/3", "--select", "a b", CODES='{"run": 1}')
    run = ["-I", "-m", "conformance.cli", "run", "--shard", "2/3", "-n", "1", "--select", "a b"]
    assert (ended.code, ended.calls) == (
        0,
        [
            ["envs", "make", OLD, "--json"],
            [*run, "--results", "conformance-gate/baseline-2-of-3.jsonl"],
            ["envs", "make", NEW, "--json"],
            [*run, "--results", "conformance-gate/candidate-2-of-3.jsonl"],
        ],
    )


@pytest.mark.parametrize(
    ("codes", "code", "said"),
    [
        ({"run": 2}, 2, ""),
        ({"run": 137}, 3, "gate.sh: inconclusive: shard 1/2 of the baseline ended with 137\n"),
        ({"envs": 2}, 2, ""),
        (
            {"envs": 3},
            3,
            "gate.sh: no result: e does not resolve: no such version\n"
            "gate.sh: inconclusive: the baseline cannot be run\n",
        ),
    ],
)
def test_a_shard_that_cannot_be_run_is_no_success(
    codes: dict[str, int], code: int, said: str, place: Place
) -> None:
    ended = place.gate("--shard", "1/2", CODES=json.dumps(codes))
    assert (ended.code, ended.stderr) == (code, said)


def test_shards_are_merged_and_the_gate_goes_on_with_them(place: Place) -> None:
    results = place.here / "conformance-gate"
    results.mkdir()
    for name in ("baseline-1-of-2", "baseline-2-of-2", "candidate-1-of-2", "candidate-2-of-2"):
        (results / f"{name}.jsonl").touch()
    ended = place.gate("--merge", CODES='{"merge": 1, "gate": 1}')
    assert ended.code == 1
    merges = [
        [
            *("merge", *(f"{results.name}/{side}-{i}-of-2.jsonl" for i in (1, 2))),
            *("-o", f"{results.name}/{side}.jsonl"),
        ]
        for side in ("baseline", "candidate")
    ]
    assert ended.calls[:2] == merges
    assert ended.calls[2][-3:] == ["--results", results.name, "--resume"]


def test_missing_shards_are_no_success(place: Place) -> None:
    ended = place.gate("--merge")
    assert (ended.code, ended.calls, ended.stderr.count("\n")) == (2, [], 1)
    (place.here / "conformance-gate" / "baseline-1-of-2.jsonl").touch()
    ended = place.gate("--merge", CODES='{"merge": 2}')
    assert (ended.code, [call[0] for call in ended.calls]) == (2, ["merge"])


def suite_stand_in(directory: Path) -> Path:
    """A wheel named like the suite, that requires something nobody can install."""
    about = "quantized_checkpoint_conformance-9.0.dist-info"
    says = "Metadata-Version: 2.1\nName: quantized-checkpoint-conformance\nVersion: 9.0\n"
    files = {
        "stand_in_suite.py": STAND_IN,
        f"{about}/METADATA": f"{says}Requires-Dist: torch>=99\nRequires-Dist: huggingface_hub>=99\n"
        'Requires-Dist: no-such-thing>=99; extra == "test"\n',
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nconformance = stand_in_suite:main\n",
    }
    packed = zipped({name: text.encode() for name, text in files.items()}, f"{about}/RECORD")
    path = directory / "quantized_checkpoint_conformance-9.0-py3-none-any.whl"
    path.write_bytes(packed)
    return path


@pytest.mark.slow
def test_the_suite_is_installed_without_what_only_runs_need(place: Place, tmp_path: Path) -> None:
    wheel = suite_stand_in(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "stand_in_suite.py").write_text("raise SystemExit('the wrong suite')\n")
    variables = {"CONFORMANCE_SUITE": str(wheel), "PYTHONPATH": str(other)}
    ended = place.run("--baseline", OLD, "--candidate", NEW, **variables)
    assert (ended.code, ended.stderr) == (0, f"gate.sh: installing {wheel}\n")
    assert [call[:3] for call in ended.calls] == [["gate", "--baseline", OLD]]
    assert place.left == ["conformance-gate", "conformance-gate/gate.txt"]


def test_a_suite_that_cannot_be_installed_is_inconclusive(place: Place) -> None:
    both = ("--baseline", OLD, "--candidate", NEW)
    ended = place.run(*both, CONFORMANCE_SUITE="./no-such-suite.whl")
    assert (ended.code, ended.calls, place.left) == (3, [], [])
    assert ended.stderr.endswith("inconclusive: ./no-such-suite.whl cannot be installed\n")


def left_out() -> list[str]:
    (line,) = [each for each in GATE.read_text().splitlines() if each.startswith("readonly LEFT")]
    return line.split("'")[1].split()


def test_what_is_left_out_is_required_and_not_needed_to_start_runs() -> None:
    required = " ".join(declared().requirements)
    assert [name for name in left_out() if f"{name}>=" not in required] == []
    modules = [name.replace("-", "_") for name in left_out()] + ["skimage", "xdist", "_pytest"]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
    code = f"{blocked}sys.argv[1:] = ['envs', 'list']\nfrom conformance.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "torchao0.17.0" in done.stdout) == (0, True), done.stderr
