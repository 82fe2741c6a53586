"""The search alone, and real bisects on toy libraries."""

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from called import forget_uv
from fake_index import (
    ADDED,
    CRASHES,
    HANGS,
    MOVES,
    REGRESSED,
    SAME,
    STEM,
    environments_file,
    variables,
)
from hypothesis import given as given_by
from hypothesis import strategies as st
from test_compare import (
    CORRUPT,
    HUNG,
    LOADS_NOT,
    LOADS_NOT_OTHERWISE,
    PASS,
    result,
)
from test_verdicts import stopped
from toys import Shell, wait_for
from typer.testing import CliRunner

from conformance.cli import app
from conformance.commands.bisect import command
from conformance.errors import UsageError
from conformance.judging.results import Result
from conformance.roundtrip.outcome import NoResultKind
from conformance.versions.bisect import Answer, EndError, Found, bisect
from conformance.versions.environments import Environment, Environments
from conformance.versions.probe import answer, base_of

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]

EXPECTED = Path(__file__).with_name("expected") / "bisect-regressed.json"
GOOD, BAD, SKIPPED = Answer.GOOD, Answer.BAD, Answer.SKIPPED


def searched(answers: list[Answer]) -> tuple[Found[int], list[int]]:
    probed: list[int] = []

    def probe(item: int) -> Answer:
        probed.append(item)
        return answers[item]

    return bisect(range(len(answers)), probe), probed


@st.composite
def turning(draw: st.DrawFn) -> tuple[int, int]:
    count = draw(st.integers(2, 300))
    return count, draw(st.integers(1, count - 1))


@given_by(turning())
def test_the_first_bad_is_found_with_few_probes(case: tuple[int, int]) -> None:
    count, first = case
    found, probed = searched([GOOD] * first + [BAD] * (count - first))
    assert found == Found(first - 1, first)
    assert len(probed) <= math.ceil(math.log2(count)) + 2
    assert len(set(probed)) == len(probed)


@given_by(turning(), st.data())
def test_skipped_ones_are_named_when_they_may_be_the_first(
    case: tuple[int, int], data: st.DataObject
) -> None:
    count, first = case
    skipped = data.draw(st.sets(st.integers(1, max(1, count - 2)), max_size=count))
    answers = [GOOD] * first + [BAD] * (count - first)
    for each in skipped - {0, count - 1}:
        answers[each] = SKIPPED
    found, probed = searched(answers)
    assert len(set(probed)) == len(probed)
    assert found.last_good == max(i for i in range(first) if answers[i] is GOOD)
    assert found.first_bad == min(i for i in range(first, count) if answers[i] is BAD)
    assert found.between == tuple(range(found.last_good + 1, found.first_bad))


def test_beside_a_skipped_one_a_neighbour_is_tried() -> None:
    found, probed = searched([GOOD, GOOD, SKIPPED, BAD, BAD])
    assert found == Found(1, 3, (2,))
    assert probed == [0, 4, 2, 1, 3]


@pytest.mark.parametrize(
    "ends", [(GOOD, GOOD), (BAD, BAD), (BAD, GOOD), (SKIPPED, BAD), (GOOD, SKIPPED)]
)
def test_wrong_ends_are_an_error_after_two_probes(ends: tuple[Answer, Answer]) -> None:
    with pytest.raises(EndError) as raised:
        searched([ends[0], GOOD, GOOD, BAD, ends[1]])
    assert (raised.value.first, raised.value.last) == ends


@pytest.mark.parametrize(
    ("good", "result", "said"),
    [
        (PASS, PASS, GOOD),
        (PASS, CORRUPT, BAD),
        (PASS, HUNG, BAD),
        (PASS, result(stopped(NoResultKind.KILLED)), BAD),
        (PASS, result(stopped(NoResultKind.SKIPPED)), SKIPPED),
        (PASS, result(stopped(NoResultKind.OUT_OF_MEMORY)), SKIPPED),
        (PASS, result(stopped(NoResultKind.HARNESS_ERROR)), SKIPPED),
        (PASS, None, SKIPPED),
        (LOADS_NOT, PASS, GOOD),
        (LOADS_NOT, LOADS_NOT_OTHERWISE, GOOD),
        (LOADS_NOT, CORRUPT, BAD),
    ],
)
def test_bad_is_what_would_block_an_upgrade_from_the_good_one(
    good: Result, result: Result | None, said: Answer
) -> None:
    assert answer(good, result) is said


@pytest.fixture(scope="module")
def given(index: Path, scratch: Path) -> Iterator[dict[str, str]]:
    found = variables(index, scratch) | {"PIP_NO_INDEX": "1"}
    del found["UV_OFFLINE"]
    yield found
    forget_uv()


@pytest.fixture
def shell(given: dict[str, str], scratch: Path, tmp_path: Path) -> Shell:
    return Shell("bisect", given, environments_file(scratch), tmp_path)


MOVED = ("--env", "toy1.0", "--package", "toyquant", "--good", "1.0", "--bad", "2.0")


@pytest.mark.slow
def test_it_tells_a_line_a_probe_the_failure_and_what_is_next(shell: Shell) -> None:
    done = shell.run(REGRESSED, *MOVED)
    said = [line.rpartition(";")[0] for line in done.stderr.splitlines() if " s)" in line]
    broken = "bad (load-failed at load: KeyError: 'scale'"
    assert said == [
        "toyquant 1.0: good (pass",
        f"toyquant 2.0: {broken}",
        f"toyquant 1.1: {broken}",
    ]
    headline, *others = done.stdout.splitlines()
    assert headline == f"toyquant 1.1 is the first bad one for {REGRESSED}; toyquant 1.0 is good"
    assert "KeyError at load (same reader): 'scale'" in others
    assert others[-1] == (
        "next: conformance gate --baseline 'toyquant==1.0 toyhost==1.0' "
        f"--candidate 'toyquant==1.1 toyhost==1.0' --select '{STEM}.*.cpu'"
    )
    told = json.loads(shell.run(REGRESSED, *MOVED, "--resume", "--json").stdout)
    seconds = [probe.pop("seconds") for probe in told["probes"]]
    assert len(seconds) == 3
    assert told == json.loads(EXPECTED.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_resume_runs_nothing_again(shell: Shell) -> None:
    first = shell.run(CRASHES, *MOVED)
    assert first.stdout.startswith(f"toyquant 2.0 is the first bad one for {CRASHES}")
    again = shell.run(CRASHES, *MOVED, "--resume", TOY_DIES_AT=CRASHES)
    assert again.stdout == first.stdout
    anew = shell.run(CRASHES, *MOVED, TOY_DIES_AT=CRASHES)
    assert anew.returncode == 3
    assert "no result at the good end, toyquant 1.0: the run toyquant 1.0 did not" in anew.stderr


@pytest.mark.slow
def test_broken_off_it_keeps_what_was_probed(shell: Shell) -> None:
    over = ("--over", "toy1.0", "--over", "toy2.0")
    going = shell.start(REGRESSED, *over, TOY_WAITS_AT=REGRESSED)
    wait_for(lambda: len(shell.lines("toy1.0")) == 1)
    going.send_signal(signal.SIGINT)
    _, said = going.communicate(timeout=60)
    assert going.returncode == 3
    assert said.endswith("broken off; the same command with --resume keeps what was probed\n")
    done = shell.run(REGRESSED, *over, "--resume")
    assert done.stdout.startswith(f"toy2.0 is the first bad one for {REGRESSED}; toy1.0 is good")


@pytest.mark.slow
def test_a_version_that_cannot_be_measured_is_named(shell: Shell) -> None:
    done = shell.run(MOVES, *MOVED)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == (
        f"toyquant 2.0 is bad for {MOVES} and toyquant 1.0 is good; "
        "between them nothing can be said of toyquant 1.1"
    )


@pytest.mark.slow
def test_any_list_and_an_environment_that_cannot_be_made_is_skipped(shell: Shell) -> None:
    over = ("--over", "toy1.0", "--over", "contradicts", "--over", "toy2.0")
    done = shell.run(REGRESSED, *over)
    assert done.returncode == 0
    assert "contradicts: skipped (environment contradicts does not resolve: " in done.stderr
    assert "nothing can be said of contradicts" in done.stdout
    swapped = shell.run(REGRESSED, "--over", "toy2.0", "--over", "toy1.0", "--resume")
    assert swapped.returncode == 2
    assert "toy1.0 is better than toy2.0: are the good and the bad end swapped?" in swapped.stderr


def test_a_reading_that_hangs_is_bad_when_its_time_is_over(shell: Shell) -> None:
    ends = ("--writer", "toy1.0", "--over", "toy1.0", "--over", "toy2.0")
    done = shell.run(HANGS, *ends, "--timeout", "6", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["last_good"], answer["first_bad"]) == ("toy1.0", "toy2.0")
    assert "timeout at load: the time for a case is over" in done.stderr


def test_what_is_not_bad_has_nothing_to_find(shell: Shell) -> None:
    done = shell.run(SAME, *MOVED)
    assert done.returncode == 2
    assert "toyquant 2.0 is not bad against toyquant 1.0: it ended as pass" in done.stderr


@pytest.mark.parametrize(
    ("case", "over", "words"),
    [
        (ADDED, ("toy1.0", "toy2.0"), "no result at the good end, toy1.0: skipped at resolve: "),
        (SAME, ("contradicts", "toy1.0"), "no result at the good end, contradicts: environment"),
        (SAME, ("toy1.0", "raises"), "no result at the bad end, raises: environment raises does"),
    ],
)
def test_an_end_without_a_result_is_inconclusive(
    shell: Shell, case: str, over: tuple[str, ...], words: str
) -> None:
    done = shell.run(case, *(part for each in over for part in ("--over", each)))
    assert done.returncode == 3
    assert f"Inconclusive: {words}" in done.stderr


def test_no_network_is_one_line_and_3(shell: Shell) -> None:
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    done = shell.run(REGRESSED, *MOVED, "--json", PIP_NO_INDEX="0", **nowhere)
    assert done.returncode == 3
    assert done.stderr.startswith("Inconclusive: the index cannot be read: ")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["first_bad"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("toy", *MOVED), "no case 'toy'"),
        ((SAME,), "give --package, --good and --bad, or --over"),
        ((SAME, *MOVED, "--over", "toy1.0"), "give --package, --good and --bad, or --over"),
        ((SAME, "--over", "toy1.0"), "--over wants two or more"),
        ((SAME, "--over", "toy1.0", "--over", "toy1.0"), "--over names one of them twice"),
        ((SAME, "--env", "toy9.9", *MOVED[2:]), "no environment 'toy9.9'"),
        ((SAME, *MOVED[:-1], "new"), "'new' is no version"),
        ((SAME, *MOVED[:4], "--good", "2.0", "--bad", "1.0"), "are --good and --bad swapped?"),
    ],
)
def test_bad_input_is_a_line_before_anything_is_made(
    scratch: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    common = ["--environments", str(environments_file(scratch)), "--results", str(tmp_path / "b")]
    ended = CliRunner().invoke(app, ["bisect", *common, *arguments])
    assert isinstance(ended.exception, UsageError), ended.output
    assert said in str(ended.exception)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("package", "bad", "said"),
    [
        ("toyquant", "2.5", "the index has no toyquant 2.5; after 1.0 it has 1.1, 2.0"),
        ("toyquantt", "2.0", "the index has no toyquantt 2.0; after 1.0 it has nothing"),
    ],
)
def test_what_the_index_has_not_is_said(shell: Shell, package: str, bad: str, said: str) -> None:
    moved = ("--env", "toy1.0", "--package", package, "--good", "1.0", "--bad", bad)
    done = shell.run(SAME, *moved)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_a_base_the_environment_of_the_bad_version_is_moved() -> None:
    old = Environment("old", ("toyquant==1.0", "toyhost==1.0"))
    new = Environment("new", ("toyquant==2.0", "toyhost==2.0"))
    known = Environments("mine.toml", {"old": old, "new": new}, ("toyhost==3.0",))
    assert base_of("Toyquant", "2.0", known) is new
    assert base_of("toyquant", "1.1", known).requirements == ("toyquant==1.1", "toyhost==3.0")


def test_help_has_examples() -> None:
    assert (command.__doc__ or "") in CliRunner().invoke(app, ["bisect", "--help"]).output
