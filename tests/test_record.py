"""A record comes back as it was, or with one clear line; an oracle says where and how much."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.errors import UsageError
from conformance.roundtrip import oracle
from conformance.roundtrip.observe import observe_tensors
from conformance.roundtrip.oracle import difference, oracle_tensor, save_oracle
from conformance.roundtrip.record import ORACLE, RECORD, SCHEMA, Output, Record

OUTPUT = Output("00ff", "torch.bfloat16", (1, 2))


@pytest.fixture
def record() -> Record:
    shared = torch.ones(4)
    facts = observe_tensors({"a": ("parameter", shared), "b": ("buffer", shared[1:])})
    return Record(
        case="flux-tiny.int8wo.quantize_.pickle.cpu",
        seed=0,
        facts=facts,
        config={"_class_name": "X", "sizes": [1, 2]},
        digests={"w.bin/data/0": "ab"},
        payload_bytes=16,
        file_bytes={"w.bin": 20},
        output=OUTPUT,
        reference=OUTPUT,
        versions={"torch": "2.13.0"},
    )


def test_a_record_comes_back_as_it_was(record: Record, tmp_path: Path) -> None:
    record.save(tmp_path)
    assert Record.load(tmp_path) == record


def test_a_record_without_output_and_config_comes_back(record: Record, tmp_path: Path) -> None:
    bare = replace(record, output=None, config=None)
    bare.save(tmp_path)
    assert Record.load(tmp_path) == bare


def test_a_record_is_json_with_its_schema(record: Record, tmp_path: Path) -> None:
    record.save(tmp_path)
    assert json.loads((tmp_path / RECORD).read_text())["schema"] == SCHEMA


def rewrite(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = directory / RECORD
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_another_schema_is_a_usage_error(record: Record, tmp_path: Path) -> None:
    record.save(tmp_path)
    rewrite(tmp_path, lambda data: data.update(schema=99))
    with pytest.raises(
        UsageError, match=f"record schema 99, this suite reads {SCHEMA}; write it again$"
    ):
        Record.load(tmp_path)


@pytest.mark.parametrize("key", ["facts", "seed", "schema", "reference"])
def test_a_record_that_lacks_something_is_a_usage_error(
    record: Record, tmp_path: Path, key: str
) -> None:
    record.save(tmp_path)
    rewrite(tmp_path, lambda data: data.pop(key))
    with pytest.raises(UsageError, match=r"not a record \(.*; write the case again$"):
        Record.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', "null"])
def test_a_broken_file_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(UsageError, match=r"record\.json: not a record"):
        Record.load(tmp_path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"record\.json: not a record"):
        Record.load(tmp_path)


def test_a_difference_says_how_many_where_and_by_how_much() -> None:
    wanted = torch.arange(8, dtype=torch.int8)
    got = wanted.clone()
    got[3] += 2
    got[5] -= 1
    assert difference(wanted, got) == "2 of 8 elements differ, the first at 3, by 2 at most"


def test_a_difference_counts_elements_and_not_bytes() -> None:
    wanted = torch.zeros(2, 2)
    got = wanted.clone()
    got[1, 0] = 0.25
    assert difference(wanted, got) == "1 of 4 elements differ, the first at 2, by 0.25 at most"


def test_a_difference_in_the_sign_of_zero_is_one() -> None:
    text = difference(torch.tensor([0.0, 1.0]), torch.tensor([-0.0, 1.0]))
    assert text == "1 of 2 elements differ, the first at 0, by 0 at most"


def test_there_is_nothing_to_say_without_an_oracle() -> None:
    assert difference(None, torch.ones(1)) == ""


def test_an_oracle_gives_back_what_it_was_given(tmp_path: Path) -> None:
    weight, output = torch.randn(3, 2).to(torch.bfloat16), torch.randn(4)
    save_oracle(tmp_path, {"w": ("parameter", weight.t())}, {"output:quantized": output})
    kept = oracle_tensor(tmp_path, "w/data", weight.t())
    assert kept is not None
    assert torch.equal(kept, weight.t())
    assert oracle_tensor(tmp_path, "output:quantized", output) is not None


def test_an_oracle_has_no_answer_for_another_size_or_name(tmp_path: Path) -> None:
    save_oracle(tmp_path, {"w": ("parameter", torch.ones(3))}, {})
    assert oracle_tensor(tmp_path, "w/data", torch.ones(4)) is None
    assert oracle_tensor(tmp_path, "w/other", torch.ones(3)) is None


def test_no_oracle_is_kept_of_a_large_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "LIMIT", 11)
    save_oracle(tmp_path, {"w": ("parameter", torch.ones(3))}, {})
    assert not (tmp_path / ORACLE).exists()
    assert oracle_tensor(tmp_path, "w/data", torch.ones(3)) is None


def test_of_a_large_model_the_outputs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "LIMIT", 11)
    output = torch.ones(4)
    save_oracle(tmp_path, {"w": ("parameter", torch.ones(3))}, {"output:reference": output})
    kept = oracle_tensor(tmp_path, "output:reference", output)
    assert kept is not None
    assert torch.equal(kept, output)
    assert oracle_tensor(tmp_path, "w/data", torch.ones(3)) is None
