"""One row of the benchmark of pipelines: its room, its weights, its parts, and its picture."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Device, Size
from conformance.bench import drawn, room
from conformance.bench.benched import BENCHED
from conformance.errors import UnavailableError
from conformance.roundtrip.budget import bound
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.pool import Pool

pytestmark = pytest.mark.thorough

SMALL = BENCHED["flux-small"]
SUBJECT = registry.subjects()[SMALL.subject]
INT8 = registry.schemes()["int8wo"]


# The picture


@pytest.mark.parametrize("colour", [0.0, 0.5, float("nan")])
def test_a_picture_that_shows_nothing_is_refused(colour: float) -> None:
    with pytest.raises(HarnessError, match=r"^the picture shows nothing: its standard deviation"):
        drawn.spread(torch.full((1, 8, 8, 3), colour))


def test_a_picture_that_shows_something_tells_its_spread() -> None:
    assert drawn.spread(torch.tensor([0.0, 1.0])) == pytest.approx(0.5**0.5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A quantized transformer, and the parts that were told while it was made."""
    directory, told = tmp_path_factory.mktemp("saved"), list[str]()
    drawn.save(SUBJECT, INT8, Device.CPU, directory, told.append)
    return directory, told


def draw(directory: Path, told: Callable[[str], object], runs: int = 1) -> dict[str, Any]:
    return drawn.draw(SUBJECT, SMALL.pipeline, Device.CPU, directory, runs, told, compiled=False)


def test_each_part_is_told_as_it_begins(saved: tuple[Path, list[str]]) -> None:
    directory, made = saved
    told: list[str] = []
    row = draw(directory, told.append)
    assert made == ["build", "quantize", "save"]
    assert told == ["load", "build the other parts", "picture 1 of 2", "picture 2 of 2"]
    assert len(row["seconds"]) == 1
    assert row["spread"] > 0.01


def test_a_saboteur_whose_transformer_gives_no_numbers_has_no_row(
    saved: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    load = drawn.PICKLE.load

    def sabotaged(*given: Any) -> Any:
        model = load(*given)
        with torch.no_grad():
            model.norm_out.linear.bias.fill_(float("nan"))
        return model

    monkeypatch.setattr(drawn, "PICKLE", replace(drawn.PICKLE, load=sabotaged))
    with pytest.raises(HarnessError, match=r"standard deviation is nan, not over 0\.01$"):
        draw(saved[0], lambda _: None)


# The weights


def test_the_weights_of_a_large_model_come_out_of_the_pool() -> None:
    assert drawn.drawing(SUBJECT) is None
    large = replace(SUBJECT, size=Size.FULL)
    made = models.build(large, draw=drawn.drawing(large))
    for name, parameter in made.named_parameters():
        assert torch.equal(parameter, Pool(0).draw(name, tuple(parameter.shape)))


def test_so_do_those_of_the_parts_beside_it() -> None:
    described = pipelines.pipeline_config(SMALL.pipeline)["parts"]["text_encoder"]
    made = pipelines.part("text_encoder", described, Pool(0).draw)
    name, parameter = next(iter(made.named_parameters()))
    assert torch.equal(parameter, Pool(0).draw(f"text_encoder.{name}", tuple(parameter.shape)))


# The room


def test_both_halves_of_a_row_are_reckoned_with() -> None:
    cpu, cuda = (room.needs(100, 50, 70, device) for device in (Device.CPU, Device.CUDA))
    assert cpu == {"memory": bound(120), "gpu": bound(120), "disk": 50}
    assert cuda == {"memory": bound(100), "gpu": bound(120), "disk": 50}


def test_the_other_parts_are_counted_without_their_weights() -> None:
    parts = pipelines.assemble(SMALL.pipeline, None, 0).components.values()
    modules = [each for each in parts if isinstance(each, torch.nn.Module)]
    tied = 56 * 512  # of T5, whose embedding has two names
    held = sum(each.numel() for module in modules for each in module.parameters())
    assert room.others(SMALL.pipeline) == held + tied


def test_where_there_is_no_room_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"memory": 2**40, "gpu": 2**29, "disk": 2**20}
    monkeypatch.setattr(room, "free", lambda *_: found)
    said = "needs 0.6 GiB of GPU memory, 0.5 GiB are free and 0.0 GiB of disk, 0.0 GiB are free"
    with pytest.raises(UnavailableError, match=f"^{re.escape(said)}$"):
        room.require_room(SMALL, INT8, Device.CUDA, tmp_path)
    monkeypatch.setattr(room, "free", lambda *_: dict.fromkeys(found, 2**40))
    room.require_room(SMALL, None, Device.CUDA, tmp_path)


def test_a_half_that_cannot_be_done_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise UnavailableError("needs 30.0 GiB of memory, 9.0 GiB are available")

    monkeypatch.setattr(drawn, "require_room", refused)
    with pytest.raises(SystemExit, match=r"^needs 30\.0 GiB of memory, 9\.0 GiB are available$"):
        drawn.main(["save", "flux-small", "int8wo", "cpu", str(tmp_path)])
    assert capfd.readouterr().out == ""
