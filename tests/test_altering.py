"""Formats that alter the model before they save it: what comes out must come back, all of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.axes import registry
from conformance.axes.altering import Alteration
from conformance.axes.base import Format
from conformance.axes.formats import dequantized
from conformance.case import Case, find
from conformance.roundtrip.facts import Inner, ModelFacts, TensorFacts
from conformance.roundtrip.outcome import NoResultKind, Outcome
from conformance.roundtrip.run import write_and_verify
from conformance.roundtrip.workshop import Workshop, shard_limit

pytestmark = pytest.mark.thorough

PICKLE = find("flux-tiny.int8wo.quantize_.dequantized-weights-pickle.cpu")
ADAPTED = find("flux-tiny.int8wo.quantize_.lora-state-dict.cpu")


def outcome(case: Case, place: Path, **changed: Any) -> Outcome:
    """Run a case in this process, with another load, or another alteration."""
    shop = Workshop(place / "workshop")
    changing = replace(case, format=replace(case.format, **changed))
    try:
        return write_and_verify(changing, shop, place / "case", lambda _: None)
    finally:
        shop.release()


def checks(ended: Outcome) -> set[str]:
    return {each.check for each in ended.findings}


def and_then(form: Format, spoil: Callable[[Any], object]) -> Callable[..., Any]:
    def load(*arguments: Any) -> Any:
        model = form.load(*arguments)
        spoil(model)
        return model

    return load


def test_what_was_altered_comes_back(tmp_path: Path) -> None:
    ended = outcome(PICKLE, tmp_path)
    assert (ended.failure, ended.no_result, checks(ended)) == (None, None, set())
    assert ended.measures["quantized_tensors"] == 0
    assert ended.measures["sqnr_db"] < 100


def test_the_model_that_others_save_is_left_alone(tmp_path: Path) -> None:
    """The next case of the group must not find it dequantized."""
    shop = Workshop(tmp_path / "workshop")
    write_and_verify(PICKLE, shop, tmp_path / "altered", lambda _: None)
    other = find("flux-tiny.int8wo.quantize_.state-dict.cpu")
    ended = write_and_verify(other, shop, tmp_path / "other", lambda _: None)
    shop.release()
    assert (ended.failure, checks(ended)) == (None, set())
    assert ended.measures["quantized_tensors"] == 30


def test_an_alteration_that_fails_is_a_save_that_failed(tmp_path: Path) -> None:
    def refuse(_: Any) -> Any:
        raise ValueError("it is not supported")

    ended = outcome(PICKLE, tmp_path, alters=Alteration(refuse))
    assert ended.failure is not None
    assert (ended.failure.stage, ended.failure.leftovers) == ("save", ())


def test_a_dequantized_model_with_quantized_weights_is_told(tmp_path: Path) -> None:
    """Saboteur: a `dequantize` that does nothing."""
    ended = outcome(PICKLE, tmp_path, alters=Alteration(dequantized._plain))
    assert ended.failure is not None
    assert ended.failure.type == "StillQuantizedError"


def test_an_alteration_that_restores_the_unquantized_model_proves_nothing(tmp_path: Path) -> None:
    """Saboteur: the model to compare with is the one that is saved."""
    same = Alteration(dequantized.by_weight, lambda plain: dequantize_alike(plain, tmp_path))
    ended = outcome(PICKLE, tmp_path, alters=same)
    assert ended.no_result is not None
    assert ended.no_result.kind is NoResultKind.HARNESS_ERROR
    assert "equals the unquantized" in ended.no_result.reason


def dequantize_alike(plain: Any, place: Path) -> Any:
    shop = Workshop(place / "other")
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.outcome import Reader

    model = dequantized.by_weight(shop.product(PICKLE, Ladder(Reader.SAME)).model)
    plain.load_state_dict(model.state_dict())
    return plain


def test_a_model_without_quantized_weights_has_a_shard_limit() -> None:
    inner = Inner("torch.bfloat16", (4,), (1,), "cpu", 8, "")
    plain = TensorFacts("parameter", "Tensor", "torch.bfloat16", (4,), (1,), True, {}, {"": inner})
    form = registry.formats()["pickle-sharded"]
    assert shard_limit(form, ModelFacts({"w": plain}, ())) == 7


# Adapters.


def lora(names: str) -> Callable[[Any], object]:
    def zero(model: Any) -> None:
        for name, each in model.named_parameters():
            if names in name:
                each.data.zero_()

    return zero


def drop(model: Any) -> None:
    model.unload_lora()


@pytest.mark.parametrize(
    ("spoil", "fired"),
    [
        (lambda _: None, set()),
        (lora(".lora_B."), {"bits", "output"}),
        (lambda model: model.disable_lora(), {"output"}),
        (drop, {"keys", "output"}),
    ],
    ids=["identity", "zeroed", "switched off", "dropped"],
)
def test_adapters_are_seen(spoil: Callable[[Any], object], fired: set[str], tmp_path: Path) -> None:
    """Saboteurs: what a loader may make of adapters."""
    pytest.importorskip("peft")
    ended = outcome(ADAPTED, tmp_path, load=and_then(ADAPTED.format, spoil))
    assert (ended.failure, ended.no_result) == (None, None)
    assert checks(ended) == fired


def test_adapters_change_what_the_model_gives(tmp_path: Path) -> None:
    """And they are measured against an unquantized model with the same ones."""
    pytest.importorskip("peft")
    ended = outcome(ADAPTED, tmp_path)
    floor = ADAPTED.scheme.sqnr
    assert floor is not None
    assert ended.measures["sqnr_db"] > floor


def test_without_peft_there_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    ended = outcome(ADAPTED, tmp_path)
    assert ended.no_result is not None
    assert (ended.no_result.kind, ended.no_result.reason) == (
        NoResultKind.SKIPPED,
        "needs the package peft",
    )


# Modular pipelines.


def test_a_pipeline_that_loaded_nothing_is_told(tmp_path: Path) -> None:
    """`load_components` logs what went wrong and goes on."""
    case = find("flux-tiny.int8wo.quantize_.modular-pickle.cpu")

    def emptied(*arguments: Any) -> Any:
        for path in Path(arguments[2]).rglob("*.bin"):
            path.unlink()
        return case.format.load(*arguments)

    ended = outcome(case, tmp_path, load=emptied)
    assert ended.failure is not None
    assert (ended.failure.stage, ended.failure.type) == ("load", "NothingLoadedError")
