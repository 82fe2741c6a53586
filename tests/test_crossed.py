"""Written on one device and read on another; played on the CPU, with a writer that was elsewhere.

CUDA itself: not run. What a reader on the CPU does with a checkpoint does not ask who wrote it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance.axes.base import Device, Needs
from conformance.case import Case, find
from conformance.roundtrip.ladder import Ladder, NoResultError
from conformance.roundtrip.outcome import Outcome, Reader, Stage
from conformance.roundtrip.record import RECORD
from conformance.roundtrip.run import verify_again, write_only
from conformance.roundtrip.verify import unread
from conformance.roundtrip.workshop import Workshop
from fixtures.saboteurs.base import FLUX_KEY, after_loading
from fixtures.saboteurs.matrix import round_trip
from fixtures.saboteurs.surgery import every_weight

pytestmark = pytest.mark.thorough

CASE = find("flux-tiny.int8wo.quantize_.state-dict.cpu")
CROSSED = replace(CASE, device=Device.CUDA_TO_CPU)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("written")
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    write_only(CASE, workshop, place, lambda _: None)
    yield place
    workshop.release()


def found(outcome: Outcome) -> set[str]:
    return {each.check for each in outcome.findings}


def test_bits_are_judged_and_outputs_by_their_distance(written: Path) -> None:
    crossed = verify_again(CROSSED, written, lambda _: None)
    assert (crossed.failure, crossed.no_result, found(crossed)) == (None, None, set())
    assert crossed.measures == verify_again(CASE, written, lambda _: None).measures
    assert crossed.measures["sqnr_db"] > 29.5


def test_another_output_is_a_defect_on_one_device_and_none_on_another(written: Path) -> None:
    record = written / RECORD
    honest = record.read_text(encoding="utf-8")
    changed = json.loads(honest)
    changed["output"]["digest"] = "0" * 32
    record.write_text(json.dumps(changed), encoding="utf-8")
    try:
        assert found(verify_again(CASE, written, lambda _: None)) == {"output"}
        assert found(verify_again(CROSSED, written, lambda _: None)) == set()
    finally:
        record.write_text(honest, encoding="utf-8")


def halve(weight: Any) -> None:
    weight.scale = weight.scale / 2


def flip(model: Any) -> None:
    model.get_submodule(FLUX_KEY).weight.qdata[0, 0] ^= 1


@pytest.mark.parametrize(
    ("defect", "checks"),
    [
        (every_weight(halve), {"bits", "accuracy"}),
        (flip, {"bits"}),
        (lambda model: model.to("meta"), {"device"}),
    ],
)
def test_what_is_lost_on_the_way_is_found(
    written: Path, defect: Callable[[Any], object], checks: set[str]
) -> None:
    sabotaged: Case = after_loading(defect)(CROSSED)
    outcome = verify_again(sabotaged, written, lambda _: None)
    assert found(outcome) - {"resave"} == checks


def test_where_the_reader_has_no_kernel_the_output_is_not_judged(written: Path) -> None:
    scheme = replace(CASE.scheme, kernel=Needs(devices=(Device.CUDA,)))
    case = replace(CROSSED, scheme=scheme)
    assert unread(case) == "on cpu: needs CUDA"
    assert unread(replace(case, device=Device.CPU)) == ""
    outcome = verify_again(case, written, lambda _: None)
    assert Stage.OUTPUT not in {step.stage for step in outcome.steps}
    assert "sqnr_db" not in outcome.measures


@pytest.mark.parametrize("device", [Device.CUDA, Device.CUDA_TO_CPU, Device.CPU_TO_CUDA])
def test_without_cuda_there_is_no_result(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = round_trip(replace(CASE, device=device), Workshop(tmp_path))
    assert outcome.no_result is not None
    assert outcome.no_result.reason == "no CUDA"


def test_a_model_that_is_there_already_does_not_hide_a_missing_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    workshop = Workshop(tmp_path)
    workshop.product(CASE, Ladder(Reader.SAME))
    with pytest.raises(NoResultError, match="no CUDA"):
        workshop.product(replace(CASE, device=Device.CPU_TO_CUDA), Ladder(Reader.SAME))
