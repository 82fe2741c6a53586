"""Cases run in processes of their own: fresh ones, that take nothing with them when they die."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from conformance.case import Case, find
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.engine import UNSPENT, Engine, start_method
from conformance.roundtrip.outcome import NoResultKind, Outcome, Stage

CASE = find("flux-tiny.int8wo.quantize_.state-dict.cpu")
NEIGHBOUR = find("flux-tiny.int8wo.quantize_.state-dict-mmap.cpu")
ELSEWHERE = find("cogvideox-tiny.int8wo.quantize_.state-dict.cpu")

Workers = dict[str, Any]

# The workers of these tests answer without writing a checkpoint; what they say is the point.


def answer(connection: Connection, case_id: str, **numbers: float) -> None:
    connection.send(Outcome(case_id, measures=numbers).to_json())


def requests(connection: Connection) -> Iterator[tuple[str, str]]:
    while (request := connection.recv()) is not None:
        yield request


def importing_writer(connection: Connection, _: str) -> None:
    """Imports something that no reader of a checkpoint needs."""
    import sqlite3

    for case_id, _target in requests(connection):
        answer(connection, case_id, writer_pid=os.getpid(), writer_has=bool(sqlite3.version))


def telling_reader(connection: Connection, _: str) -> None:
    """Tells what it has imported."""
    for case_id, _target in requests(connection):
        modules = {
            "reader_has": "sqlite3" in sys.modules,
            "reader_has_torch": "torch" in sys.modules,
            "reader_has_diffusers": "diffusers" in sys.modules,
        }
        answer(connection, case_id, reader_pid=os.getpid(), **modules)


def spent_reader(connection: Connection, _: str) -> None:
    """Says that it imported something."""
    for case_id, _target in requests(connection):
        connection.send(worker.SPENT)
        answer(connection, case_id, reader_pid=os.getpid())


def dying_on(name: str, connection: Connection, _: str) -> None:
    """Works until a case of this name comes."""
    for case_id, _target in requests(connection):
        if name in case_id:
            connection.send(str(Stage.LOAD))
            os._exit(7)
        answer(connection, case_id, pid=os.getpid())


def sleeping_on(name: str, connection: Connection, _: str) -> None:
    for case_id, _target in requests(connection):
        if name in case_id:
            time.sleep(60)
        answer(connection, case_id, pid=os.getpid())


def littering_writer(connection: Connection, directory: str) -> None:
    """Dies over every case and leaves a file in the workshop."""
    for case_id, _target in requests(connection):
        Path(directory, case_id).touch()
        os._exit(7)


def touching_writer(connection: Connection, _: str) -> None:
    for case_id, target in requests(connection):
        Path(target, "left behind").write_text("x")
        answer(connection, case_id)


def without_libraries(connection: Connection, _: str) -> None:
    """What `worker.writer` does where the libraries do not import."""
    from conformance.roundtrip import preload  # in a worker it is there; here it would take seconds

    preload.error = ModuleNotFoundError("No module named 'torchao'", name="torchao")
    worker.libraries_import(connection)


@pytest.fixture
def told() -> Iterator[dict[str, Any]]:
    with Engine(writer=importing_writer, reader=telling_reader) as engine:
        yield dict(engine.run(CASE).measures)


def test_a_fresh_reader_has_not_imported_what_the_writer_imported(told: dict[str, Any]) -> None:
    assert told["writer_has"]
    assert not told["reader_has"]
    assert told["reader_pid"] != told["writer_pid"]


def test_a_fresh_reader_has_imported_what_a_plain_reader_imports(told: dict[str, Any]) -> None:
    assert told["reader_has_torch"]
    assert told["reader_has_diffusers"]


def pids(engine: Engine, name: str, *cases: Case) -> list[float]:
    return [engine.run(case).measures[name] for case in cases]


def test_a_reader_that_imported_nothing_is_used_again() -> None:
    with Engine(writer=importing_writer, reader=telling_reader) as engine:
        assert len(set(pids(engine, "reader_pid", CASE, ELSEWHERE))) == 1


@pytest.mark.thorough
def test_a_reader_that_imported_something_reads_nothing_else() -> None:
    with Engine(writer=importing_writer, reader=spent_reader) as engine:
        first, alike, other = pids(engine, "reader_pid", CASE, NEIGHBOUR, ELSEWHERE)
    assert first == alike
    assert first != other


@pytest.mark.thorough
def test_the_next_reader_is_there_before_it_is_needed() -> None:
    with Engine(writer=importing_writer, reader=spent_reader) as engine:
        (first,) = pids(engine, "reader_pid", CASE)
        ready = engine._readers[UNSPENT].process.pid
        (second,) = pids(engine, "reader_pid", ELSEWHERE)
    assert first != ready == second


@pytest.mark.thorough
def test_a_dismissed_reader_ends_by_itself_and_is_forgotten() -> None:
    with Engine(writer=importing_writer, reader=spent_reader) as engine:
        engine.run(CASE)
        first = engine._readers[f"{CASE.quantized}.{CASE.format.has_config}"]
        engine.run(ELSEWHERE)
        assert engine._dismissed == [first]
        first.process.join(60)
        engine.run(CASE)
        assert first not in engine._dismissed
        assert first.connection.closed


def test_a_writer_stays_as_long_as_it_lives() -> None:
    with Engine(writer=importing_writer, reader=telling_reader) as engine:
        assert len(set(pids(engine, "writer_pid", CASE, NEIGHBOUR, ELSEWHERE))) == 1


def test_a_new_writer_finds_an_empty_workshop() -> None:
    with Engine(writer=littering_writer, reader=telling_reader) as engine:
        engine.run(CASE)
        engine.run(NEIGHBOUR)
        assert [path.name for path in (engine.directory / "workshop").iterdir()] == [NEIGHBOUR.id]


def test_a_module_that_came_while_reading_spends_the_reader() -> None:
    before = set(sys.modules)
    assert not worker.spent(before)
    assert worker.spent(before - {"json"})
    assert not worker.spent(before - {"conformance.case"})


@pytest.mark.thorough
@pytest.mark.parametrize("dies", ["writer", "reader"])
def test_a_death_is_the_result_of_that_case_only(dies: str) -> None:
    healthy = partial(dying_on, "nothing")
    workers: Workers = {"writer": healthy, "reader": healthy, dies: partial(dying_on, "mmap")}
    with Engine(**workers) as engine:
        before, during, after = (engine.run(case) for case in (CASE, NEIGHBOUR, CASE))
    assert (before.no_result, after.no_result) == (None, None)
    assert during.no_result is not None
    assert (during.no_result.kind, during.no_result.stage) == (NoResultKind.KILLED, Stage.LOAD)
    assert during.no_result.reason == "the process ended by exit code 7"


@pytest.mark.thorough
@pytest.mark.parametrize("hangs", ["writer", "reader"])
def test_a_hang_is_the_result_of_that_case_only(hangs: str) -> None:
    healthy = partial(sleeping_on, "nothing")
    workers: Workers = {"writer": healthy, "reader": healthy, hangs: partial(sleeping_on, "mmap")}
    with Engine(**workers) as engine:
        assert engine.run(CASE).no_result is None
        engine.timeout = 0.3
        during = engine.run(NEIGHBOUR).no_result
        engine.timeout = 60
        assert engine.run(CASE).no_result is None
    assert during is not None
    assert during.kind is NoResultKind.TIMEOUT


def test_a_case_leaves_no_files_and_the_engine_no_directory() -> None:
    with Engine(writer=touching_writer, reader=telling_reader) as engine:
        engine.run(CASE)
        assert not list(engine.directory.rglob("left behind"))
        assert engine.directory.exists()
    assert not engine.directory.exists()


def test_an_engine_that_is_left_by_an_exception_is_cleaned_up() -> None:
    with pytest.raises(ZeroDivisionError), Engine() as engine:
        raise ZeroDivisionError
    assert not engine.directory.exists()


def test_libraries_that_do_not_import_are_one_clear_line() -> None:
    with Engine(writer=without_libraries) as engine, pytest.raises(UsageError) as caught:
        engine.run(CASE)
    assert str(caught.value) == (
        "ModuleNotFoundError: No module named 'torchao'; install it: python -m pip install torchao"
    )


def test_versions_that_do_not_fit_are_one_clear_line() -> None:
    line = worker.import_error(AttributeError("module 'torch' has no attribute 'x'\nmore"))
    assert "\n" not in line
    assert line.endswith("these versions do not import together, install versions that do")


def imported_by_diffusers(error: Exception) -> RuntimeError:
    """Wrap an error as the lazy imports of diffusers do."""
    try:
        try:
            raise error
        except Exception as behind:
            raise RuntimeError("Failed to import diffusers.models.x because of:\n...") from behind
    except RuntimeError as wrapped:
        return wrapped


def test_what_is_behind_an_import_error_is_told_and_where_it_was_raised() -> None:
    line = worker.import_error(imported_by_diffusers(OSError("built for another torch")))
    assert line == (
        f"OSError: built for another torch (in {__name__}); "
        "these versions do not import together, install versions that do"
    )


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("PIL", "install it: python -m pip install PIL"),
        ("torchao.gone", "install versions that do"),
    ],
)
def test_a_module_that_is_gone_from_a_package_is_not_installed_by_name(
    name: str, mend: str
) -> None:
    gone = ModuleNotFoundError(f"No module named {name!r}", name=name)
    assert worker.import_error(imported_by_diffusers(gone)).endswith(mend)


@pytest.mark.thorough
def test_an_engine_runs_a_real_case_in_two_processes() -> None:
    with Engine() as engine:
        outcome = engine.run(CASE)
    assert (outcome.failure, outcome.no_result, outcome.findings) == (None, None, ())
    assert {step.reader for step in outcome.steps} == {"same", "fresh"}
    assert [step.stage for step in outcome.steps].count(Stage.LOAD) == 2


def test_the_main_process_imports_no_torch() -> None:
    script = (
        "import sys, json, conformance.case, conformance.roundtrip.engine as engine;"
        "conformance.case.all_cases();"
        "engine.Engine().close();"
        "print(json.dumps(sorted(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    heavy = {"torch", "torchao", "diffusers", "transformers", "numpy", "safetensors"}
    assert heavy & set(json.loads(told)) == set()


def test_workers_are_forked_where_they_can_be() -> None:
    assert start_method() == ("forkserver" if sys.platform != "win32" else "spawn")
