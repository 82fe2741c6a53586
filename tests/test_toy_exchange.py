"""Real exchanges: real uv, real environments, checkpoints that toy libraries write and read."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from called import forget_uv
from fake_index import (
    CRASHES,
    FORGOTTEN,
    HANGS,
    LOST,
    MOVES,
    REGRESSED,
    SAME,
    STEM,
    environments_file,
    variables,
)
from toys import Shell, only

from conformance.judging.exchange import Cell, Exchanged, Unmeasured
from conformance.judging.exchange_results import ExchangeResults, read_exchange

pytestmark = pytest.mark.thorough

pytest_plugins = ["toy_fixtures"]

EXPECTED = Path(__file__).with_name("expected")
PATIENCE = ("--timeout", "4")
OLD, NEW = "toyhost1.0,toyquant1.0", "toyhost2.0,toyquant2.0"


@pytest.fixture(scope="module")
def given(index: Path, scratch: Path) -> Iterator[dict[str, str]]:
    yield variables(index, scratch)
    forget_uv()


@pytest.fixture(scope="module")
def whole(
    given: dict[str, str], scratch: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ExchangeResults]:
    """What the largest exchange draws, and what it writes."""
    shell = Shell("exchange", given, environments_file(scratch), tmp_path_factory.mktemp("whole"))
    writers = ("-w", "toy1.0", "-w", "toy2.0", "-w", "contradicts")
    readers = ("-r", "toy1.0", "-r", "toy2.0", "-r", "raises")
    done = shell.run(*writers, *readers, "-s", f"{STEM}.*.cpu", *PATIENCE)
    assert done.returncode == 1, done.stderr
    return done.stdout, read_exchange(shell.results)


def test_the_matrix_with_every_verdict_is_as_committed(whole: tuple[str, ExchangeResults]) -> None:
    drawn, results = whole
    lines = [line.rstrip() for line in drawn.splitlines()]
    expected = (EXPECTED / "exchange.txt").read_text(encoding="utf-8").splitlines()
    written = ("results: ", "report: ")
    assert [line for line in lines if not line.startswith(written)] == expected
    assert [line.partition(" ")[0] + " " for line in lines if line.startswith(written)] == [
        *written
    ]
    assert results.complete


def test_the_matrix_has_every_ending(whole: tuple[str, ExchangeResults]) -> None:
    cells = whole[1].cells
    assert {each.verdict for each in cells} - {None} == set(Exchanged)
    assert {each.unmeasured for each in cells} - {None} == set(Unmeasured)
    assert {each.blocked_by for each in cells} == {"", "config.json", "loader"}


def cell(results: ExchangeResults, case: str, writer: str = OLD, reader: str = NEW) -> Cell:
    (found,) = [each for each in results.cells if each.id == f"{case}@{writer}>{reader}"]
    return found


def test_a_hang_and_a_crash_are_told_apart(whole: tuple[str, ExchangeResults]) -> None:
    hung, crashed = (cell(whole[1], case).readings for case in (HANGS, CRASHES))
    assert hung is not None
    assert crashed is not None
    assert str(hung.loader.no_result).count("timeout") == 1
    assert cell(whole[1], HANGS).weights is Exchanged.BITS_EQUAL
    assert crashed.loader.no_result == crashed.weights.no_result
    assert "SIGSEGV" in str(crashed.loader.no_result)


def test_what_is_missing_says_why(whole: tuple[str, ExchangeResults]) -> None:
    results = whole[1]
    for found, words in (
        (cell(results, LOST, NEW), "toyquant 2.0 does not have it"),
        (cell(results, SAME, "contradicts"), "depends on toyquant>=1.1"),
        (cell(results, SAME, OLD, "raises"), "ImportError: built for another host"),
    ):
        assert found.nothing is not None
        assert words in found.nothing.reason


# Bisect over readers


@pytest.fixture
def bisect(given: dict[str, str], scratch: Path, tmp_path: Path) -> Shell:
    asks = {**given, "UV_OFFLINE": "0", "PIP_NO_INDEX": "1"}
    return Shell("bisect", asks, environments_file(scratch), tmp_path)


MOVED = ("--env", "toy1.0", "--package", "toyquant", "--good", "1.0", "--bad", "2.0")


@pytest.mark.slow
def test_the_first_reader_that_cannot_read_is_as_committed(bisect: Shell) -> None:
    done = bisect.run(FORGOTTEN, "--writer", "toy1.0", *MOVED, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len([probe.pop("seconds") for probe in told["probes"]]) == 3
    expected = json.loads((EXPECTED / "bisect-readers.json").read_text(encoding="utf-8"))
    assert told == expected
    round_trips = bisect.run(FORGOTTEN, *MOVED)
    assert round_trips.returncode == 2
    assert "toyquant 2.0 is not bad against toyquant 1.0: it ended as pass" in round_trips.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("case", "first"), [(REGRESSED, "1.1"), (CRASHES, "2.0"), (MOVES, "2.0")])
def test_each_kind_of_break_is_found(bisect: Shell, case: str, first: str) -> None:
    done = bisect.run(case, "--writer", "toy1.0", *MOVED)
    assert done.stdout.startswith(f"toyquant {first} is the first bad one for {case}"), done.stderr


def test_a_writer_that_has_nothing_to_read_is_inconclusive(bisect: Shell) -> None:
    done = bisect.run(LOST, "--writer", "toy2.0", *MOVED)
    assert done.returncode == 3
    assert "no result at the good end, toyquant 1.0: skipped: toyquant 2.0 does not" in done.stderr
    gone = bisect.run(SAME, "--writer", "contradicts", *MOVED)
    assert gone.returncode == 3
    assert "environment contradicts does not resolve" in gone.stderr


@pytest.mark.slow
def test_a_full_disk_is_a_line_and_3_and_goes_on(
    given: dict[str, str], scratch: Path, tmp_path: Path
) -> None:
    shell = Shell("exchange", given, environments_file(scratch), tmp_path)
    asked = ("-w", "toy1.0", "-r", "toy2.0", *only(SAME, REGRESSED))
    full = shell.run(*asked, TOY_FULL_AT=REGRESSED)
    assert full.returncode == 3
    (said,) = [line for line in full.stderr.splitlines() if line.startswith("conformance: ")]
    assert said.startswith(f"conformance: no space left: {REGRESSED} could not be measured; free")
    done = shell.run(*asked, "--resume")
    assert done.returncode == 1
    assert len(read_exchange(shell.results).cells) == 2


@pytest.mark.slow
def test_a_broken_exchange_goes_on_without_reading_anew(
    given: dict[str, str], scratch: Path, tmp_path: Path
) -> None:
    shell = Shell("exchange", given, environments_file(scratch), tmp_path)
    asked = ("-w", "toy1.0", "-r", "toy2.0", *only(SAME, REGRESSED))
    kept = ("--kept", str(tmp_path / "kept"))
    assert shell.run(*asked, *kept).returncode == 1
    before = shell.results.read_bytes()
    shell.results.write_bytes(b"".join(before.splitlines(keepends=True)[:2]))
    done = shell.run(*asked, *kept, "--resume")
    assert done.returncode == 1
    assert "wrote 2 checkpoints earlier" in done.stderr
    assert "reads 1 checkpoints" in done.stderr
    assert {each.id for each in read_exchange(shell.results).cells} == {
        f"{case}@{OLD}>{NEW}" for case in (SAME, REGRESSED)
    }
