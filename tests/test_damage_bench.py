"""Readers of damaged checkpoints: they may die, hang, bloat and be spoiled; the bench survives."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conformance.case import find
from conformance.damage.bench import Bench, Target, files_in, inspected, lay, targets
from conformance.damage.fate import Differs, Fate, Result
from conformance.damage.mutation import Kind, Mutation, edited
from conformance.damage.results import read
from conformance.damage.run import default_cases, jobs, run
from conformance.environment import observed_versions
from conformance.roundtrip.ladder import HarnessError

pytestmark = pytest.mark.thorough

CASE = find("flux-tiny.int8wo.torchao-config.pickle.cpu")
FILES = {"m.xyz": b"whole"}
TARGET = Target(CASE, FILES, FILES)


def stand_in(connection: Connection, _log: str) -> None:
    """Does what the file says, and reads everything else as what it is."""
    spoiled = ""
    while (request := connection.recv()) is not None:
        said = Path(request[1], "m.xyz").read_text(encoding="utf-8").strip()
        if said == "die":
            os._exit(7)
        if said == "hang":
            time.sleep(60)
        if said == "spoil":
            spoiled = "spoiled "
        if said in ("raise", "bloat"):
            connection.send({"error": ["OSError", said], "memory": said == "bloat"})
            continue
        facts = {"w": {"inner": {"data": {"digest": spoiled + said}}, "pid": ""}}
        connection.send({"loaded": facts, "config": {}, "warned": []})
        if said == "die when called":
            os._exit(7)
        connection.send({"output": "f"})


def unsteady(connection: Connection, _log: str) -> None:
    """Never reads the same twice."""
    while connection.recv() is not None:
        connection.send(
            {"loaded": {"w": {"inner": {}, "at": time.time()}}, "config": {}, "warned": []}
        )
        connection.send({"output": "f"})


def become(said: str) -> Mutation:
    return Mutation(Kind.ANYWHERE, said, edited("m.xyz", partial(_instead, f"{said} ".encode())))


def _instead(other: bytes, _data: bytes) -> bytes:
    return other


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(timeout=20, target=stand_in) as bench:
        yield bench


def read_all(bench: Bench, *said: str) -> dict[str, Result]:
    found = bench.results(TARGET, [become(each) for each in said])
    assert [each.name for each in found] == list(said)
    return {each.name: each for each in found}


def fates(found: dict[str, Result]) -> list[str]:
    return [str(each.fate or each.no_result) for each in found.values()]


def test_each_gets_its_fate_and_the_next_one_is_unharmed(bench: Bench) -> None:
    found = read_all(bench, "raise", "die", "bloat", "other", "whole", "die when called", "last")
    assert fates(found) == [
        "detected",
        "killed",
        "out of memory",
        "silent",
        "harmless",
        "silent",
        "silent",
    ]
    assert found["die"].error == "the process ended by exit code #"
    assert found["die when called"].differs == (Differs.BITS, Differs.OUTPUT)
    assert found["die when called"].called == "killed: the process ended by exit code #"
    assert not any(each.spoils for each in found.values())


def test_a_hang_ends(bench: Bench) -> None:
    read_all(bench, "whole")
    bench.desk.timeout = 0.5
    found = bench.results(TARGET, [become("hang")])
    assert [each.no_result for each in found] == ["timeout"]


def test_a_reader_that_one_spoiled_counts_for_none(bench: Bench) -> None:
    found = read_all(bench, "spoil", "whole", "raise")
    assert fates(found) == ["silent", "harmless", "detected"]
    assert [each.spoils for each in found.values()] == [True, False, False]


def test_a_reader_that_is_not_steady_proves_nothing() -> None:
    with Bench(target=unsteady) as bench, pytest.raises(HarnessError, match="two readings differ"):
        bench.results(TARGET, [become("x")])


def test_a_checkpoint_that_cannot_be_read_whole_proves_nothing(bench: Bench) -> None:
    broken = Target(CASE, {"m.xyz": b"raise"}, {})
    with pytest.raises(HarnessError, match="is not read as it was written"):
        bench.results(broken, [become("x")])


def test_a_bench_leaves_no_files() -> None:
    with Bench(target=stand_in) as bench:
        read_all(bench, "whole")
        assert bench.place.exists()
    assert not bench.place.exists()


def test_files_are_laid_and_nothing_else_stays(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    lay({"x": b"1", "y": b"2"}, place)
    lay({"x": b"3"}, place)
    assert files_in(place) == {"x": b"3"}


MEMORY = """
from conformance.damage.reading import limit_memory
limit_memory(2**28)
held = bytearray(2**26)
try:
    bytearray(2**29)
except MemoryError:
    print("refused")
"""


def test_a_reader_has_a_limit_of_memory() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "refused\n"


def test_nothing_to_inspect_is_told(tmp_path: Path) -> None:
    assert inspected(tmp_path)


# Real readers

COMMITTED = Path(__file__).parents[1] / "docs" / "results" / "damage.jsonl.xz"
EACH = 22
"""Mutations of a format: one of every kind, and some twice."""


@pytest.fixture(scope="module")
def there() -> dict[str, Target]:
    made = list(targets(default_cases()))
    return {each.case.format.name: each for each in made if isinstance(each, Target)}


FORMATS = [each.format.name for each in default_cases()]


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_fares_as_in_the_committed_results(name: str, there: dict[str, Target]) -> None:
    committed = read(COMMITTED)
    if committed.header.versions != observed_versions():
        pytest.skip("the committed results are of other versions")
    asked = jobs(there[name], EACH, committed.header.seed)
    found = list(run(asked, 1))
    assert len(found) == EACH
    here, there_ = fared(found), fared(committed.results)
    assert here.keys() <= there_.keys()
    both = here.keys() - limited(found) - limited(committed.results)
    assert len(both) >= EACH - 2
    assert {each: here[each] for each in both} == {each: there_[each] for each in both}


def fared(found: Iterable[Result]) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Return what counts of each: words of messages depend on the machine."""
    return {
        (each.case, each.kind, each.name): (each.fate, each.differs, each.ran) for each in found
    }


def limited(found: Iterable[Result]) -> set[tuple[str, ...]]:
    """Return those that met a limit of time or memory, which another machine may not meet."""
    return {(each.case, each.kind, each.name) for each in found if each.fate is None}


# What hypothesis finds

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "put", "zero"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def made_of(edits: list[tuple[str, float, bytes]], data: bytes) -> bytes:
    for way, share, content in edits:
        place = int(share * len(data))
        end = place + (0 if way == "put" else len(content) ** 2 if way == "zero" else len(content))
        middle = {"cut": b"", "zero": bytes(len(data[place:end]))}.get(way, content)
        data = data[:place] + middle + data[end:]
    return data


@pytest.fixture(scope="module")
def real() -> Iterator[Bench]:
    with Bench() as bench:
        yield bench


@pytest.mark.parametrize("name", ["pickle", "safetensors-sharded"])
@given(edits=EDITS, number=st.integers(0, 99))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_hypothesis_does_has_a_fate(
    name: str,
    there: dict[str, Target],
    real: Bench,
    edits: list[tuple[str, float, bytes]],
    number: int,
) -> None:
    target = there[name]
    file = sorted(target.files)[number % len(target.files)]
    mutation = Mutation(Kind.ANYWHERE, "any", edited(file, partial(made_of, edits)))
    if mutation.apply(target.files) == target.files:
        return
    (found,) = real.results(target, [mutation])
    assert found.fate in tuple(Fate) or found.no_result in ("timeout", "out of memory", "killed")
    assert (found.spoils, found.ran) == (False, False)
