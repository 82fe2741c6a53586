"""Checkpoints are written once and kept, and read by processes of another version or none."""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from conformance.case import find
from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip import worker
from conformance.roundtrip.keep import keep
from conformance.roundtrip.keep import main as keep_main
from conformance.roundtrip.kept import Index, Readings, Request
from conformance.roundtrip.outcome import Harm, NoResultKind, Outcome, Stage
from conformance.roundtrip.readback import main as readback_main
from conformance.roundtrip.readback import read_back, read_requests
from fixtures.saboteurs.surgery import edit_safetensors, edit_torch

pytestmark = pytest.mark.thorough

PICKLE = "flux-tiny.int8wo.quantize_.pickle.cpu"
STATE_DICT = "flux-tiny.int8wo.quantize_.state-dict.cpu"
SAFETENSORS = "flux-tiny.int8wo.torchao-config.safetensors.cpu"
REFUSED = "flux-tiny.int8wo.quantize_.safetensors.cpu"
ALL = (PICKLE, STATE_DICT, SAFETENSORS)
QUERY = "transformer_blocks.0.attn.to_q"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("kept")
    list(keep([find(each) for each in (PICKLE, STATE_DICT, REFUSED, SAFETENSORS)], directory))
    return directory


@pytest.fixture
def kept(written: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(written, tmp_path / "kept"))


@pytest.fixture(scope="module")
def healthy(written: Path) -> dict[str, Readings]:
    return {each.case: each for each in read(written, *ALL)}


def read(directory: Path, *cases: str) -> list[Readings]:
    return list(read_back([Request("w", directory, cases)]))


def one(directory: Path, case: str) -> Readings:
    (readings,) = read(directory, case)
    return readings


def found(outcome: Outcome) -> set[tuple[str, str, Harm]]:
    return {(each.check, each.what, each.harm) for each in outcome.findings}


def broke(outcome: Outcome | None) -> tuple[Stage, str]:
    assert outcome is not None
    assert outcome.failure is not None
    return outcome.failure.stage, outcome.failure.type


# What keeping leaves


def test_the_index_says_who_wrote_and_how_each_case_ended(written: Path) -> None:
    index = Index.load(written)
    assert index.versions == observed_versions()
    assert tuple(index.cases) == (PICKLE, STATE_DICT, REFUSED, SAFETENSORS)
    assert index.written == ALL
    assert broke(index.cases[REFUSED]) == (Stage.SAVE, "RuntimeError")


def test_a_config_names_the_model_and_no_directory_of_this_machine(written: Path) -> None:
    config = json.loads((written / SAFETENSORS / "checkpoint" / "config.json").read_text())
    assert config["_name_or_path"] == "flux-tiny.cpu"


def test_one_writer_writes_the_cases_of_every_group(tmp_path: Path) -> None:
    cases = [find(PICKLE), find("cogvideox-tiny.int8wo.quantize_.pickle.cpu")]
    told = [each.measures["process"] for each in keep(cases, tmp_path, target=telling)]
    assert len(told) == 2
    assert len(set(told)) == 1


def test_a_case_that_was_not_written_leaves_nothing(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted([*ALL, "index.json"])


def test_what_was_kept_is_told_when_keeping_is_broken_off(tmp_path: Path) -> None:
    outcomes = keep([find(STATE_DICT), find(SAFETENSORS)], tmp_path, target=obedient)
    next(outcomes)
    outcomes.close()
    assert tuple(Index.load(tmp_path).cases) == (STATE_DICT,)


def test_an_index_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"schema": 99}), encoding="utf-8")
    with pytest.raises(UsageError, match="index schema 99, this suite reads 1"):
        Index.load(tmp_path)
    with pytest.raises(UsageError, match="no index of checkpoints"):
        Index.load(tmp_path / "nowhere")


# What reading healthy checkpoints gives


def test_a_healthy_checkpoint_is_equal_by_its_weights(healthy: dict[str, Readings]) -> None:
    for readings in healthy.values():
        assert readings.weights.failure is None
        assert readings.weights.no_result is None
        assert readings.weights.findings == ()


def test_only_a_config_that_names_a_quantization_is_asked_about(
    healthy: dict[str, Readings],
) -> None:
    assert {case for case, each in healthy.items() if each.config is not None} == {SAFETENSORS}
    config = healthy[SAFETENSORS].config
    assert config is not None
    assert (config.failure, config.no_result) == (None, None)


def test_readings_survive_json(healthy: dict[str, Readings]) -> None:
    for each in healthy.values():
        assert Readings.from_json(json.loads(json.dumps(each.to_json()))) == each


# Damage


def flip(tensors: dict[str, Any], _: dict[str, str]) -> None:
    tensors[f"{QUERY}._weight_qdata"].view(-1)[3] ^= 1


def test_a_flipped_bit_is_corrupt_either_way(kept: Path) -> None:
    edit_safetensors(kept / SAFETENSORS / "checkpoint", flip)
    readings = one(kept, SAFETENSORS)
    for outcome in (readings.loader, readings.weights):
        assert ("bits", "bits differ", Harm.CORRUPT) in found(outcome)


def flip_in_pickle(state: dict[str, Any]) -> None:
    state[f"{QUERY}.weight"].qdata.view(-1)[3] ^= 1


def test_a_flipped_bit_in_a_pickle_is_corrupt_either_way(kept: Path) -> None:
    import torchao  # noqa: F401 - it allows its classes to be unpickled

    edit_torch(kept / PICKLE / "checkpoint", flip_in_pickle)
    readings = one(kept, PICKLE)
    for outcome in (readings.loader, readings.weights):
        assert ("bits", "bits differ", Harm.CORRUPT) in found(outcome)


def test_a_scale_that_is_not_there_is_never_taken_for_equal(kept: Path) -> None:
    edit_safetensors(
        kept / SAFETENSORS / "checkpoint", lambda tensors, _: tensors.pop(f"{QUERY}._weight_scale")
    )
    readings = one(kept, SAFETENSORS)
    assert Harm.CORRUPT in {harm for _, _, harm in found(readings.loader)}
    assert broke(readings.weights)[0] is Stage.LOAD


def edit_config(checkpoint: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = checkpoint / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def of_a_class_that_is_gone(config: dict[str, Any]) -> None:
    config["quantization_config"]["quant_type"]["default"]["_type"] = "Int7WeightOnlyConfig"


def test_a_config_that_blocks_good_weights_is_told_apart(kept: Path) -> None:
    edit_config(kept / SAFETENSORS / "checkpoint", of_a_class_that_is_gone)
    readings = one(kept, SAFETENSORS)
    assert broke(readings.loader) == (Stage.LOAD, "ValueError")
    assert broke(readings.config) == (Stage.LOAD, "ValueError")
    assert (readings.weights.failure, readings.weights.findings) == (None, ())


def test_a_config_that_is_no_json_is_told_apart(kept: Path) -> None:
    (kept / SAFETENSORS / "checkpoint" / "config.json").write_text("{", encoding="utf-8")
    readings = one(kept, SAFETENSORS)
    assert broke(readings.config)[1] == "JSONDecodeError"
    assert (readings.weights.failure, readings.weights.findings) == (None, ())


def other_digest(record: dict[str, Any], *names: str) -> None:
    for name in names:
        record[name]["digest"] = "0" * 32


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        (("output",), ("output", "output differs", Harm.CORRUPT)),
        (
            ("output", "reference"),
            ("output", "output differs, as does the unquantized model's", Harm.ALTERED),
        ),
    ],
    ids=["only the quantized model", "the unquantized one, too"],
)
def test_an_output_counts_only_where_the_unquantized_model_computes_alike(
    changed: tuple[str, ...], finding: tuple[str, str, Harm], kept: Path
) -> None:
    path = kept / STATE_DICT / "record.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    other_digest(record, *changed)
    path.write_text(json.dumps(record), encoding="utf-8")
    assert found(one(kept, STATE_DICT).loader) == {finding}


# Crashes


def requests(connection: Connection) -> Iterator[Any]:
    while (request := connection.recv()) is not None:
        yield request


def obedient(connection: Connection, _: str) -> None:
    for case_id, _target in requests(connection):
        connection.send(Outcome(case_id).to_json())


def telling(connection: Connection, _: str) -> None:
    for case_id, _target in requests(connection):
        connection.send(Outcome(case_id, measures={"process": os.getpid()}).to_json())


def writer_that_dies(connection: Connection, _: str) -> None:
    for case_id, target in requests(connection):
        (Path(target) / "half").write_text("x", encoding="utf-8")
        if case_id == STATE_DICT:
            os._exit(7)
        connection.send(Outcome(case_id).to_json())


def test_a_writer_that_dies_costs_one_case_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    outcomes = {
        each.case: each.no_result
        for each in keep([find(case) for case in ALL], tmp_path, target=writer_that_dies)
    }
    ended = outcomes.pop(STATE_DICT)
    assert ended is not None
    assert (ended.kind, ended.reason) == (
        NoResultKind.KILLED,
        "the process ended by exit code 7",
    )
    assert set(outcomes.values()) == {None}
    assert not (tmp_path / STATE_DICT).exists()
    assert (tmp_path / SAFETENSORS / "half").exists()


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (keep_main, ["somewhere", "nothing.like.this"], "'nothing.like.this' matches no case"),
        (readback_main, [], "not a list of requests"),
    ],
)
def test_bad_input_of_a_module_is_one_line_and_exit_code_2(
    main: Callable[[list[str]], int],
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("{"))
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def deadly(case: str, connection: Connection, _: str) -> None:
    for way, case_id, _directory in requests(connection):
        if case_id == case and way == "loader":
            connection.send(str(Stage.LOAD))
            os._exit(7)
        connection.send(Outcome(case_id, measures={"pid": os.getpid()}).to_json())


def sleepy(case: str, connection: Connection, _: str) -> None:
    for way, case_id, _directory in requests(connection):
        if case_id == case and way == "loader":
            time.sleep(60)
        connection.send(Outcome(case_id).to_json())


def spent(connection: Connection, _: str) -> None:
    for _way, case_id, _directory in requests(connection):
        connection.send(worker.SPENT)
        connection.send(Outcome(case_id, measures={"pid": os.getpid()}).to_json())


@pytest.mark.parametrize(
    ("target", "kind"), [(deadly, NoResultKind.KILLED), (sleepy, NoResultKind.TIMEOUT)]
)
def test_a_reader_that_ends_costs_one_reading(
    target: Callable[..., None], kind: NoResultKind, tmp_path: Path
) -> None:
    request = Request("w", tmp_path, ALL)
    answers = read_back([request], 1.0, partial(target, STATE_DICT))
    readings = {each.case: each.loader.no_result for each in answers}
    ended = readings.pop(STATE_DICT)
    assert ended is not None
    assert ended.kind is kind
    assert set(readings.values()) == {None}


def test_one_process_reads_everything_while_it_stays_fresh(tmp_path: Path) -> None:
    readings = list(read_back([Request("w", tmp_path, ALL)], 5.0, partial(deadly, "none")))
    pids = {each.measures["pid"] for got in readings for each in (got.loader, got.weights)}
    assert len(readings) == len(ALL)
    assert len(pids) == 1


def test_a_process_that_imported_something_reads_only_alike_checkpoints(tmp_path: Path) -> None:
    again = "cogvideox-tiny.int8wo.quantize_.pickle.cpu"
    asked = [Request("a", tmp_path, (PICKLE, STATE_DICT)), Request("b", tmp_path, (again,))]
    readings = list(read_back(asked, 5.0, spent))
    by_loader = {each.case: each.loader.measures["pid"] for each in readings}
    assert by_loader[PICKLE] == by_loader[again]
    assert by_loader[STATE_DICT] != by_loader[PICKLE]
    assert {each.weights.measures["pid"] for each in readings if each.case == PICKLE} != {
        by_loader[PICKLE]
    }


def test_bad_requests_are_one_line() -> None:
    for text in ("{", '[{"writer": "w"}]', "[1]"):
        with pytest.raises(UsageError, match="not a list of requests"):
            list(read_requests(text))


# What a gate asks


def sparingly(directory: Path, *cases: str) -> dict[str, Readings]:
    request = Request("w", directory, cases, sparing=True)
    return {each.case: each for each in read_back([request])}


def test_what_the_loader_reads_is_not_read_in_other_ways_when_sparing(
    written: Path, healthy: dict[str, Readings]
) -> None:
    sparing = sparingly(written, *ALL)
    for case in (PICKLE, SAFETENSORS):
        spared = sparing[case].weights.no_result
        assert spared is not None
        assert (spared.kind, spared.reason) == (NoResultKind.SKIPPED, "the loader reads it")
        assert sparing[case].config is None
        assert found(sparing[case].loader) == found(healthy[case].loader)
    assert sparing[STATE_DICT].weights == sparing[STATE_DICT].loader


def test_what_the_loader_cannot_read_is_read_in_every_way_all_the_same(kept: Path) -> None:
    (kept / SAFETENSORS / "checkpoint" / "config.json").write_text("{")
    (readings,) = sparingly(kept, SAFETENSORS).values()
    assert readings.loader.failure is not None
    assert readings.weights.findings == ()
    assert readings.weights.no_result is None
    assert readings.config is not None
