"""Files of somebody's own that are no fresh model's: state dicts, hostile pickles, golden files."""

import shutil
from pathlib import Path
from typing import Any

import torch
from own_checkpoints import asked, checks, recorded, verdict, verified

from conformance.judging.verdicts import Verdict
from conformance.roundtrip.checkpoint import Asked, record_beside, record_of
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.own import Answer, record, verify

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"


def test_nested_state_dicts_are_flattened(tmp_path: Path) -> None:
    path = tmp_path / "nested.pt"
    torch.save({"model": {"a": torch.ones(2)}, "steps": [torch.zeros(1)], "epoch": 3}, path)
    assert set(recorded(path).facts.tensors) == {"model.a", "steps.0"}
    torch.save({"a.b": torch.ones(2), "a": {"b": torch.ones(1)}}, path)
    answer = record(asked(path))
    assert answer.outcome.failure
    assert answer.outcome.failure.message == "two tensors are called a.b"


def test_a_plain_safetensors_file_is_read_tensor_by_tensor(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "w.safetensors"
    save_file({"a": torch.arange(4), "b": torch.ones(2, 2)}, path)
    known = recorded(path)
    assert {key: each.kind for key, each in known.facts.tensors.items()} == {
        "a": "entry",
        "b": "entry",
    }
    assert verdict(verified(path)) is Verdict.PASS


def test_what_torchao_flattened_is_put_together(tmp_path: Path) -> None:
    (case,) = (GOLDEN / "torchao-0.18").glob("*.torchao-safetensors.cpu")
    path = Path(shutil.copy(case / "checkpoint" / "model.safetensors", tmp_path))
    known = recorded(path)
    assert {each.subclass for each in known.facts.quantized.values()} == {"Float8Tensor"}


class Hostile:
    """Pickles to a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save({"a": torch.ones(1), "b": Hostile(tmp_path / "ran")}, path)
    answer = record(asked(path))
    assert answer.outcome.failure
    assert (answer.outcome.failure.stage, answer.outcome.failure.type) == (
        Stage.LOAD,
        "UnpicklingError",
    )
    assert not (tmp_path / "ran").exists()
    assert not record_beside(path).exists()


def test_a_golden_file_of_0_17_is_verified_by_the_suites_own_record() -> None:
    path = GOLDEN / "torchao-0.17" / "flux-tiny.int8wo.quantize_.pickle.cpu" / "checkpoint"
    answer = verified_by(record_of(path), path)
    assert verdict(answer) is Verdict.LOAD_FAILED
    assert answer.outcome.failure
    assert "AffineQuantizedTensor" in answer.outcome.failure.traceback


def test_a_golden_file_of_this_release_comes_back() -> None:
    (case,) = (GOLDEN / "torchao-0.18").glob("flux-tiny.*.safetensors.cpu")
    answer = verified_by(record_of(case / "checkpoint"), case / "checkpoint")
    assert answer.outcome.failure is None
    assert checks(answer.outcome) == {"requires_grad"}
    assert verdict(answer) is Verdict.ALTERED


def verified_by(place: Path, path: Path) -> Answer:
    return verify(Asked(path, place))
