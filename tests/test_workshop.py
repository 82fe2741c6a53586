"""A model is built and quantized once for all that share it, freed afterwards, never vacuous."""

import gc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.axes import models
from conformance.axes.base import Device, Needs, Size, Subject
from conformance.case import Case, all_cases, find
from conformance.errors import UnavailableError
from conformance.roundtrip.closeness import sqnr
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.ladder import HarnessError, Ladder, NoResultError
from conformance.roundtrip.observe import observe_tensors, tensor_facts
from conformance.roundtrip.outcome import NoResultKind, Reader
from conformance.roundtrip.possible import how_far, require_device, require_memory, require_time
from conformance.roundtrip.run import write_and_verify
from conformance.roundtrip.workshop import Workshop, not_vacuous, shard_limit, twice

pytestmark = pytest.mark.thorough

PICKLE = find("flux-tiny.int8wo.quantize_.pickle.cpu")
GROUP = [
    find(f"flux-tiny.int8wo.quantize_.{form}.cpu")
    for form in ("pickle", "pickle-sharded", "state-dict", "torchao-safetensors")
]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(tmp_path / "workshop")
    yield shop
    shop.release()


def product(shop: Workshop, case: Case) -> Any:
    return shop.product(case, Ladder(Reader.SAME))


class Counted:
    """A route or a build that counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.function(*arguments)


def test_a_group_is_built_and_quantized_once(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, quantize = Counted(models.build), Counted(PICKLE.route.quantize)
    monkeypatch.setattr(models, "build", build)
    for case in GROUP:
        counted = replace(case, route=replace(case.route, quantize=quantize))
        write_and_verify(counted, shop, tmp_path / case.format.name, lambda _: None)
    assert (build.calls, quantize.calls) == (1, 1)


def test_another_route_quantizes_the_same_base(shop: Workshop) -> None:
    first = product(shop, PICKLE)
    second = product(shop, find("flux-tiny.int8wo.torchao-config.pickle.cpu"))
    assert first.model is not second.model
    assert first.base is second.base


def test_another_scheme_keeps_the_base_and_frees_the_product(shop: Workshop) -> None:
    quantized = weakref.ref(product(shop, PICKLE).model)
    base = weakref.ref(shop.base(PICKLE, Ladder(Reader.SAME)))
    product(shop, find("flux-tiny.float8wo.quantize_.pickle.cpu"))
    gc.collect()
    assert quantized() is None
    assert base() is not None


def test_another_subject_frees_everything(shop: Workshop) -> None:
    made = product(shop, PICKLE)
    alive = [weakref.ref(made.model), weakref.ref(made.base.model)]
    del made
    product(shop, find("cogvideox-tiny.int8wo.quantize_.pickle.cpu"))
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_a_released_workshop_holds_nothing(shop: Workshop) -> None:
    quantized = weakref.ref(product(shop, PICKLE).model)
    assert quantized() is not None
    shop.release()
    gc.collect()
    assert quantized() is None


def test_quantizing_leaves_the_base_as_it_was(shop: Workshop) -> None:
    base: Any = shop.base(PICKLE, Ladder(Reader.SAME))
    product(shop, PICKLE)
    assert {type(each.weight.data) for each in linears(base.model)} == {torch.Tensor}
    assert torch.equal(models.forward(base.model, base.inputs), base.output)


def linears(model: Any) -> list[Any]:
    return [each for each in model.modules() if isinstance(each, torch.nn.Linear)]


# Controls: what would make a comparison worthless.

WEIGHT = torch.arange(4.0)


def facts(*tensors: torch.Tensor) -> ModelFacts:
    return observe_tensors({f"t{i}": ("buffer", each) for i, each in enumerate(tensors)})


def quantized_facts() -> ModelFacts:
    plain = tensor_facts("parameter", WEIGHT)
    return ModelFacts({"w": replace(plain, subclass="Int8Tensor")}, ())


def test_a_model_without_quantized_tensors_is_vacuous() -> None:
    with pytest.raises(HarnessError, match="no tensor was quantized"):
        not_vacuous(facts(WEIGHT), WEIGHT, WEIGHT + 1)


def test_a_model_on_meta_is_vacuous() -> None:
    on_meta = tensor_facts("parameter", WEIGHT.to("meta"))
    seen = ModelFacts({**quantized_facts().tensors, "m": on_meta}, ())
    with pytest.raises(HarnessError, match="meta device"):
        not_vacuous(seen, WEIGHT, WEIGHT + 1)


def test_an_output_that_equals_the_unquantized_one_is_vacuous() -> None:
    with pytest.raises(HarnessError, match="equals the unquantized"):
        not_vacuous(quantized_facts(), WEIGHT, WEIGHT.clone())


@pytest.mark.parametrize("output", [WEIGHT + 1, None])
def test_a_quantized_model_is_not_vacuous(output: torch.Tensor | None) -> None:
    not_vacuous(quantized_facts(), output, WEIGHT)


class Model(torch.nn.Module):  # type: ignore[misc]
    """Gives the outputs that it was told, one after the other."""

    device = torch.device("cpu")

    def __init__(self, *outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = iter(outputs)

    def forward(self, return_dict: bool) -> tuple[torch.Tensor]:
        assert not return_dict
        return (next(self.outputs),)


def test_two_equal_outputs_are_one() -> None:
    assert torch.equal(twice(Model(WEIGHT, WEIGHT.clone()), {}), WEIGHT)


def test_two_outputs_that_differ_in_a_bit_are_an_error() -> None:
    with pytest.raises(HarnessError, match="two different outputs"):
        twice(Model(torch.zeros(2), -torch.zeros(2)), {})


def test_a_device_that_is_not_there_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    require_device(Device.CPU)
    with pytest.raises(UnavailableError, match=r"^no CUDA$"):
        require_device(Device.CUDA)


def with_parameters(subject: Subject, count: int) -> Subject:
    return replace(subject, parameters=count)


def test_a_model_that_does_not_fit_into_memory_is_unavailable() -> None:
    require_memory(with_parameters(PICKLE.subject, 1))
    with pytest.raises(UnavailableError, match=r"needs \d+\.\d GiB of memory, \d+\.\d GiB are"):
        require_memory(with_parameters(PICKLE.subject, 10**15))


def test_a_scheme_that_takes_longer_than_a_case_may_is_skipped(shop: Workshop) -> None:
    case = replace(PICKLE, scheme=replace(PICKLE.scheme, seconds=300.0))
    require_time(case)
    large = replace(case, subject=with_parameters(case.subject, 12_000_000))
    with pytest.raises(NoResultError) as caught:
        product(shop, large)
    ended = caught.value.no_result
    assert ended.kind is NoResultKind.SKIPPED
    assert ended.reason == "quantizing 12 M parameters takes 60 minutes of one core"
    require_time(replace(large, device=Device.CUDA))


def test_only_k_means_takes_longer_than_a_case_of_a_small_model_may() -> None:
    for case in all_cases().values():
        if case.subject.size is Size.SMALL and case.device is Device.CPU:
            if case.scheme.name == "codebook4":
                with pytest.raises(UnavailableError, match="minutes of one core"):
                    require_time(case)
            else:
                require_time(case)


def test_a_scheme_that_fits_no_layer_is_skipped(shop: Workshop) -> None:
    case = replace(PICKLE, scheme=replace(PICKLE.scheme, multiple=10_000))
    with pytest.raises(NoResultError) as caught:
        product(shop, case)
    assert caught.value.no_result.kind is NoResultKind.SKIPPED
    assert "Linear" in caught.value.no_result.reason


def test_how_far_a_scheme_goes_depends_on_what_is_missing() -> None:
    missing = Needs(probe=lambda: "no kernel")
    scheme = PICKLE.scheme
    assert how_far(scheme, Device.CPU) == (None, "")
    assert how_far(replace(scheme, kernel=missing), Device.CPU) == (None, "no kernel")
    stored = replace(scheme, quantizing=missing, storage=max)
    assert how_far(stored, Device.CPU) == (max, "no kernel")
    with pytest.raises(UnavailableError, match="no kernel"):
        how_far(replace(scheme, quantizing=missing), Device.CPU)


def test_sqnr_is_in_decibels() -> None:
    signal = torch.ones(100)
    assert sqnr(signal, signal * 1.1) == pytest.approx(20, abs=1e-3)
    assert sqnr(signal, torch.zeros(100)) == 0


def test_sqnr_is_infinite_for_equal_tensors_and_none_at_all_for_nan() -> None:
    assert sqnr(WEIGHT, WEIGHT.clone()) == float("inf")
    assert sqnr(WEIGHT, WEIGHT * float("nan")) == float("-inf")


def test_the_shard_limit_parts_a_weight_from_its_scale(shop: Workshop) -> None:
    seen = product(shop, PICKLE).facts
    sizes = [inner.bytes for _, _, inner in seen.leaves()]
    assert 0 < shard_limit(PICKLE.format, seen) < max(sizes)
