"""Large models, proven on small ones: one module at a time, the bits of a model drawn whole."""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conformance.axes import models, registry
from conformance.axes.base import Device, Size
from conformance.case import Case, find
from conformance.judging.verdicts import verdict_of
from conformance.roundtrip import budget, pool
from conformance.roundtrip.budget import BASE, Budget, missing, reckon, require_room, shapes
from conformance.roundtrip.calls import calling
from conformance.roundtrip.footprint import Footprint
from conformance.roundtrip.ladder import HarnessError, Ladder, NoResultError
from conformance.roundtrip.merge import merge
from conformance.roundtrip.observe import observe
from conformance.roundtrip.outcome import NoResultKind, Outcome, Progress, Reader, Stage
from conformance.roundtrip.pool import Pool
from conformance.roundtrip.ratios import reading_ratios, writing_ratios
from conformance.roundtrip.run import verify_again, write_and_verify
from conformance.roundtrip.streamed import StreamedBase, turned_rows
from conformance.roundtrip.workshop import Workshop
from fixtures.saboteurs.base import after_loading, after_quantizing
from fixtures.saboteurs.surgery import swap

FULL = [each for each in registry.subjects().values() if each.size is Size.FULL]
LAYER = "transformer_blocks.0.attn.to_k"
TWIN = "transformer_blocks.0.attn.to_q"


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=3)


def enlarged(case_id: str) -> Case:
    case = find(case_id)
    return replace(case, subject=replace(case.subject, size=Size.FULL))


PICKLE = enlarged("flux-small.int8wo.quantize_.pickle.cpu")
STATE = enlarged("flux-small.int8wo.quantize_.state-dict.cpu")
LOADED = enlarged("flux-small.int8wo.torchao-config.safetensors.cpu")


def opened(directory: Path) -> Iterator[Workshop]:
    directory.mkdir()
    shop = Workshop(directory)
    yield shop
    shop.release()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    yield from opened(tmp_path / "workshop")


@pytest.fixture
def other_shop(tmp_path: Path) -> Iterator[Workshop]:
    yield from opened(tmp_path / "other")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> StreamedBase:
    return StreamedBase(PICKLE.subject, Device.CPU, 0, tmp_path_factory.mktemp("base"))


def drawn_whole(base: StreamedBase) -> Any:
    """The unquantized model, as no large one ever exists."""
    model = base.unquantized()
    return base.complete(model)


# The pool.


@given(
    st.integers(0, 2**32), st.text(min_size=1), st.lists(st.integers(1, 9), min_size=1, max_size=3)
)
def test_a_parameter_is_a_window_of_the_run_and_goes_on_at_its_start(
    seed: int, name: str, sizes: list[int]
) -> None:
    shape, short = tuple(sizes), Pool(seed, length=11)
    places = (short.place(name) + torch.arange(prod(shape))) % 11
    factor, middle = models.spread(name, shape)
    wanted = short._run[places] * factor + middle
    assert torch.equal(short.draw(name, shape), wanted.reshape(shape))


def test_parameters_are_equal_by_seed_and_name_only() -> None:
    shape = (64, 32)
    one = Pool(0).draw("a.weight", shape)
    assert torch.equal(one, Pool(0).draw("a.weight", shape))
    assert not torch.equal(one, Pool(0).draw("b.weight", shape))
    assert not torch.equal(one, Pool(1).draw("a.weight", shape))


def test_no_two_rows_of_a_layer_are_equal() -> None:
    # Larger than the run, so that it goes around.
    rows = Pool(0, length=4093).draw("a.weight", (600, 32))
    assert len(torch.unique(rows, dim=0)) == 600


def test_a_layer_is_spread_as_if_it_were_drawn_by_itself() -> None:
    drawn = Pool(0).draw("a.weight", (256, 1024)).double()
    assert float(drawn.std()) == pytest.approx(1024**-0.5, rel=0.01)
    assert float(drawn.mean()) == pytest.approx(0, abs=1e-3)


def test_the_length_of_the_run_is_a_prime() -> None:
    assert all(pool.LENGTH % each for each in range(2, math.isqrt(pool.LENGTH) + 1))


@pytest.mark.parametrize("subject", FULL, ids=lambda each: each.name)
def test_no_two_parameters_of_a_full_model_begin_alike(subject: Any) -> None:
    found = shapes(subject)
    assert found.elements == subject.parameters
    several = Pool(0)
    several.share(found.linears)
    several.all_apart({**found.linears, **found.others})


def test_two_parameters_that_begin_alike_are_an_error() -> None:
    with pytest.raises(HarnessError, match="begin alike"):
        Pool(0, length=2).all_apart({"a": (1,), "b": (1,), "c": (1,)})


def test_layers_of_one_shape_have_the_same_rows_and_each_begins_with_another() -> None:
    several, shape = Pool(0, length=4093), (600, 32)
    several.share({"a": shape, "other": (16, 32), "b": shape, "c": shape})
    first, second, third = (several.draw(name, shape) for name in "abc")
    assert torch.equal(second, torch.roll(first, -200, 0))
    assert torch.equal(third, torch.roll(first, -400, 0))
    assert not (first == second).all(dim=1).any()
    assert not torch.equal(several.draw("other", (16, 32)), first[:16])


def test_more_layers_than_rows_would_have_to_be_equal() -> None:
    with pytest.raises(HarnessError, match=r"^3 layers of shape \(2, 8\) would have to be equal$"):
        Pool(0).share(dict.fromkeys("abc", (2, 8)))


def test_shared_layers_begin_apart_from_other_parameters() -> None:
    several = Pool(0, length=2)
    several.share({"a": (4, 4), "b": (4, 4)})
    several.all_apart({"a": (4, 4), "b": (4, 4)})
    with pytest.raises(HarnessError, match="begin alike"):
        several.all_apart({"a": (4, 4), "b": (4, 4), "c": (1,), "d": (1,)})


# The builder.


@pytest.mark.parametrize(
    ("scheme", "shared"),
    [("int8wo", True), ("intx4-g32", True), ("float8wo-tensor", False)],
)
def test_a_streamed_model_has_the_bits_of_one_that_is_quantized_whole(
    scheme: str, shared: bool, base: StreamedBase, shop: Workshop
) -> None:
    from torchao.quantization import quantize_

    case = enlarged(PICKLE.id.replace("int8wo", scheme))
    whole = drawn_whole(base)
    quantize_(whole, case.scheme.resolve().config)
    product = shop.product(case, Ladder(Reader.SAME))
    assert product.facts == observe(whole)
    assert isinstance(product.base, StreamedBase)
    assert (product.base.filler.twins.taken > 0) is shared


class Packed(torch.Tensor):  # type: ignore[misc]
    """A quantized weight whose rows lie packed, two and two."""

    @staticmethod
    def __new__(cls, packed: torch.Tensor) -> "Packed":
        shape = (2 * packed.shape[0], packed.shape[1])
        made: Packed = torch.Tensor._make_wrapper_subclass(cls, shape)
        return made

    def __init__(self, packed: torch.Tensor) -> None:
        self.packed = packed

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["packed"], None

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> None:
        raise NotImplementedError


def test_rows_that_do_not_stand_alone_are_not_shared() -> None:
    assert turned_rows(torch.ones(2, 2), 1) is None
    assert turned_rows(Packed(torch.ones(2, 2)), 1) is None


def test_the_streamed_reference_is_the_output_of_the_whole_model(
    base: StreamedBase, shop: Workshop
) -> None:
    reference = shop.product(PICKLE, Ladder(Reader.SAME)).reference
    assert torch.equal(reference.output, models.forward(drawn_whole(base), base.inputs))
    assert reference.layers.keys() == {key.removesuffix(".weight") for key in base.linears}
    floor = PICKLE.scheme.sqnr
    assert floor is not None
    assert all(floor < each < math.inf for each in reference.layers.values())


def test_of_the_unquantized_weights_one_module_exists_at_a_time(shop: Workshop) -> None:
    base = shop.product(PICKLE, Ladder(Reader.SAME)).base
    assert isinstance(base, StreamedBase)
    largest = 2 * max(prod(shape) + shape[0] for shape in base.linears.values())
    assert base.filler.drawn == 2 * PICKLE.subject.parameters
    assert base.filler.live == bytes_that_stay(base)
    assert base.filler.peak <= base.filler.live + largest
    assert base.filler.peak < base.filler.drawn / 4


def bytes_that_stay(base: StreamedBase) -> int:
    """Biases and norms are not quantized."""
    found = shapes(base.subject)
    return 2 * sum(prod(shape) for shape in found.others.values())


def test_a_builder_that_fills_all_modules_first_is_noticed(base: StreamedBase) -> None:
    model = drawn_whole(base)
    assert base.filler.peak == base.filler.live == 2 * PICKLE.subject.parameters
    del model
    assert base.filler.live == 0


def test_the_bf16_checkpoint_is_what_the_whole_model_would_save(base: StreamedBase) -> None:
    again = base.subject.family.load_class().from_pretrained(
        base.checkpoint, torch_dtype=torch.bfloat16
    )
    assert observe(again) == observe(drawn_whole(base))


def test_a_linear_is_itself_again_after_the_comparison(shop: Workshop) -> None:
    product = shop.product(PICKLE, Ladder(Reader.SAME))
    assert not [each for each in product.model.modules() if "forward" in vars(each)]


# The round trip.


def round_trip(case: Case, shop: Workshop, directory: Path, told: list[Any]) -> Outcome:
    directory.mkdir(parents=True)
    same = write_and_verify(case, shop, directory, told.append)
    return merge(same, verify_again(case, directory, told.append))


@pytest.mark.parametrize("case", [PICKLE, LOADED], ids=lambda case: case.id)
def test_a_large_case_ends_as_the_same_case_does_unstreamed(
    case: Case, shop: Workshop, other_shop: Workshop, tmp_path: Path
) -> None:
    outcome = round_trip(case, shop, tmp_path / "large", [])
    small = round_trip(find(case.id), other_shop, tmp_path / "small", [])
    assert (outcome.failure, outcome.no_result) == (None, None)
    assert verdict_of(outcome) is verdict_of(small)
    assert {each.what for each in outcome.findings} == {each.what for each in small.findings}


def test_a_large_case_is_read_by_the_fresh_process_alone_and_not_saved_again(
    shop: Workshop, tmp_path: Path
) -> None:
    outcome = round_trip(STATE, shop, tmp_path / "large", [])
    read = {step.stage: step.reader for step in outcome.steps if step.stage is not Stage.RESOLVE}
    assert read[Stage.SAVE] is Reader.SAME
    assert read[Stage.LOAD] is read[Stage.OUTPUT] is Reader.FRESH
    assert Stage.RESAVE not in read


def test_what_a_large_case_cost_is_in_its_result(shop: Workshop, tmp_path: Path) -> None:
    outcome = round_trip(STATE, shop, tmp_path / "large", [])
    parts = ("build", "quantize", "digest", "reference", "forward", "save", "inspect")
    for part in (*parts, "load", "bits", "output"):
        measured = [outcome.measures[f"{part}.{kind}"] for kind in ("seconds", "anonymous_bytes")]
        assert all(each > 0 for each in measured)
        assert outcome.measures[f"{part}.peak_bytes"] >= outcome.measures[f"{part}.mapped_bytes"]
    ratios = {name for name in outcome.measures if name.endswith(".ratio")}
    assert ratios == {f"{part}.ratio" for part in ("quantize", "digest", "save", "inspect", "load")}
    assert outcome.measures["worst_layer_db"] <= outcome.measures["median_layer_db"]
    assert outcome.measures["sqnr_db"] > 0


def test_the_model_is_put_away_and_made_again_for_another_format(
    shop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    write_and_verify(PICKLE, shop, tmp_path / "one", lambda _: None)
    kept = shop._product
    assert kept is not None
    assert kept[1].model is None
    again = shop.product(STATE, Ladder(Reader.SAME))
    assert again.facts is kept[1].facts
    assert observe(again.model) == again.facts


def test_a_model_that_is_made_again_otherwise_is_an_error(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write_and_verify(PICKLE, shop, tmp_path / "one", lambda _: None)
    base = shop._base
    assert isinstance(base, StreamedBase)
    base.pool.seed = 1
    with pytest.raises(NoResultError, match="came out otherwise"):
        shop.product(STATE, Ladder(Reader.SAME))


def test_layers_that_are_swapped_are_caught(shop: Workshop, tmp_path: Path) -> None:
    swapped = after_loading(swap(LAYER, TWIN))(STATE)
    outcome = round_trip(swapped, shop, tmp_path / "large", [])
    paths = {each.path for each in outcome.findings if each.check == "bits"}
    assert {path.partition("/")[0] for path in paths} == {f"{LAYER}.weight", f"{TWIN}.weight"}


def test_a_layer_that_is_far_off_is_caught(shop: Workshop, tmp_path: Path) -> None:
    def halve(model: Any) -> None:
        weight = model.get_submodule(LAYER).weight
        weight.scale = weight.scale / 2

    outcome = round_trip(after_quantizing(halve)(STATE), shop, tmp_path / "large", [])
    found = [(each.check, each.path, each.what) for each in outcome.findings]
    assert found == [("layers", f"{LAYER}.weight", "layer is far off")]


def test_progress_is_told_with_parts_and_bytes(shop: Workshop, tmp_path: Path) -> None:
    told: list[Any] = []
    slow = replace(STATE, format=replace(STATE.format, save=slow_save))
    round_trip(slow, shop, tmp_path / "large", told)
    saving = [each for each in told if isinstance(each, Progress) and each.part == "save"]
    assert saving
    assert all(0 <= each.done <= each.total for each in saving)
    assert saving[-1].done > 0


def test_how_far_a_forward_pass_is_is_told_in_weights() -> None:
    told: list[Progress] = []
    footprint = Footprint(lambda *now: told.append(Progress(*now)))
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    with calling(Ladder(Reader.SAME, footprint=footprint), "forward", model, times=2):
        model(torch.ones(4))
        time.sleep(0.8)
    assert set(told) == {Progress("forward", 2 * (32 + 16), 2 * 2 * (32 + 16))}


def test_what_is_no_large_case_is_called_without_a_count() -> None:
    model = torch.nn.Linear(4, 8)
    with calling(Ladder(Reader.SAME), "forward", model):
        assert not torch.nn.modules.module._global_forward_hooks


def slow_save(model: Any, directory: Path, limit: int) -> None:
    STATE.format.save(model, directory, limit)
    time.sleep(1.5)


# What does not fit.


def test_where_memory_runs_out_in_the_middle_the_next_case_runs(
    shop: Workshop, tmp_path: Path
) -> None:
    def greedy(_model: Any, _directory: Path, _limit: int) -> None:
        torch.empty(2**50, dtype=torch.uint8)

    (tmp_path / "one").mkdir()
    ended = write_and_verify(
        replace(STATE, format=replace(STATE.format, save=greedy)),
        shop,
        tmp_path / "one",
        lambda _: None,
    )
    assert ended.no_result is not None
    assert (ended.no_result.kind, ended.no_result.stage) == (
        NoResultKind.OUT_OF_MEMORY,
        Stage.SAVE,
    )
    assert ended.no_result.reason.count("\n") == 0
    assert shop._product is not None
    assert shop._product[1].model is None
    assert round_trip(STATE, shop, tmp_path / "two", []).no_result is None


@pytest.mark.parametrize(
    ("memory", "disk", "said"),
    [
        (0, 2**40, r"^needs 0\.6 GiB of memory, 0\.0 GiB are available$"),
        (2**40, 0, r"^needs 0\.0 GiB of disk, 0\.0 GiB are free$"),
        (0, 0, r"^needs 0\.6 GiB of memory, .* and 0\.0 GiB of disk, "),
    ],
)
def test_what_does_not_fit_has_no_result_and_nothing_is_built(
    memory: int, disk: int, said: str, shop: Workshop, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(budget, "free", lambda _: {"memory": memory, "disk": disk})
    monkeypatch.setattr("conformance.roundtrip.workshop.StreamedBase", None)
    outcome = write_and_verify(PICKLE, shop, tmp_path, lambda _: None)
    assert outcome.no_result is not None
    assert (outcome.no_result.kind, outcome.no_result.stage) == (
        NoResultKind.SKIPPED,
        Stage.RESOLVE,
    )
    assert re.search(said, outcome.no_result.reason)
    assert list(tmp_path.glob("checkpoint*")) == []


def test_a_budget_is_the_payload_of_the_scheme_and_what_is_beside_it() -> None:
    found = budget.Shapes({"a.weight": (16, 32)}, {"a.bias": (16,)})
    assert budget.Shapes({"a": (4, 8), "b": (4, 8), "c": (8, 4)}, {"d": (4,)}).distinct == 64
    scheme = registry.schemes()["int8wo"]
    payload = scheme.payload((16, 32)) + 32
    assert reckon(found, scheme, loads=False) == Budget(
        payload, round(1.08 * payload) + BASE, round(1.01 * payload), 2 * (512 + 16), 512
    )
    assert reckon(found, scheme, loads=True).disk == round(1.01 * payload) + 1056
    whole = replace(scheme, whole_model=True)
    assert reckon(found, whole, loads=False).memory == round(1.08 * payload) + BASE + 1056
    uncovered = replace(scheme, multiple=64)
    assert reckon(found, uncovered, loads=False).payload == 1056


def test_what_fits_exactly_is_measured(tmp_path: Path) -> None:
    need = Budget(payload=1, memory=10, disk=20, bf16=2, distinct=1)
    assert missing(need, memory=10, disk=20) == ""
    assert missing(need, memory=9, disk=20) != ""
    assert missing(need, memory=10, disk=19) != ""
    require_room(need, tmp_path)


# Ratios.


def test_ratios_are_times_by_floors() -> None:
    measured = {
        "bf16_bytes": 200.0,
        "payload_bytes": 110.0,
        "file_bytes": 120.0,
        "floor.write": 60.0,
        "floor.read": 120.0,
        "floor.copy": 100.0,
        "floor.quantize": 50.0,
        "quantize.seconds": 8.0,
        "quantize.weights": 100.0,
        "digest.seconds": 2.2,
        "save.seconds": 3.0,
        "inspect.seconds": 2.0,
    }
    assert writing_ratios(measured) == pytest.approx(
        {"quantize.ratio": 2.0, "digest.ratio": 2.0, "save.ratio": 1.5, "inspect.ratio": 2.0}
    )
    del measured["floor.quantize"]
    assert "quantize.ratio" not in writing_ratios(measured)


def test_loading_and_digesting_are_one_ratio() -> None:
    measured = {"load.seconds": 1.0, "bits.seconds": 2.0}
    assert reading_ratios(measured, 50.0, 100) == {"floor.reread": 50.0, "load.ratio": 1.5}


# Memory, in a process of its own.

SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
import psutil
from conformance.axes import models, registry
from conformance.axes.base import Size
from conformance.case import find
from conformance.roundtrip.footprint import Footprint
from conformance.roundtrip.frugal import give_back_at_once
from conformance.roundtrip.ladder import Ladder
from conformance.roundtrip.outcome import Reader
from conformance.roundtrip.workshop import Workshop
import torchao.quantization

models._CONFIG_DIRECTORIES = (Path(sys.argv[1]),)
case = find("flux-small.int8wo.quantize_.pickle.cpu")
case = replace(case, subject=replace(case.subject, size=Size.FULL))
case.scheme.resolve()
give_back_at_once()
footprint = Footprint()
shop = Workshop(Path(sys.argv[1]) / "workshop")
ladder = Ladder(Reader.SAME, footprint=footprint)
base = shop.base(case, ladder)
before = psutil.Process().memory_info().rss
product = shop.product(case, ladder)
payload = sum(each.bytes for each in product.facts.saved.values())
print(json.dumps({
    "payload": payload, "bf16": base.filler.drawn,
    "taken": footprint.measures["quantize.peak_bytes"] - before,
}))
"""


def test_the_bf16_model_never_exists(tmp_path: Path) -> None:
    config = {**models.model_config(PICKLE.subject), "num_single_layers": 90}
    (tmp_path / "flux-small.json").write_text(json.dumps(config))
    (tmp_path / "workshop").mkdir()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["bf16"] > 300e6
    # A layer or two at work beside the payload; the bf16 model would be twice as much.
    assert seen["taken"] < 1.08 * seen["payload"] + 60e6 < 0.8 * seen["bf16"]
