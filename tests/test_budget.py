"""What a large case needs, reckoned before anything is built."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from conformance.axes import registry
from conformance.axes.base import Device
from conformance.case import find
from conformance.errors import UnavailableError
from conformance.roundtrip import budget
from conformance.roundtrip.budget import BASE, Budget, missing, reckon, require_room, shapes


def test_a_budget_is_the_payload_of_the_scheme_and_what_is_beside_it() -> None:
    found = budget.Shapes({"a.weight": (16, 32)}, {"a.bias": (16,)})
    assert budget.Shapes({"a": (4, 8), "b": (4, 8), "c": (8, 4)}, {"d": (4,)}).distinct == 64
    scheme = registry.schemes()["int8wo"]
    payload = scheme.payload((16, 32)) + 32
    assert reckon(found, scheme, loads=False) == Budget(
        payload, round(1.08 * payload) + BASE, round(1.01 * payload), 2 * (512 + 16), 512
    )
    assert reckon(found, scheme, loads=True).disk == round(1.01 * payload) + 1056
    twice = reckon(found, scheme, loads=True, clones=True)
    assert twice.memory == 2 * payload + BASE
    table = replace(found, buffers=100)
    assert reckon(table, scheme, loads=False).memory == round(1.08 * (payload + 100)) + BASE
    assert reckon(table, scheme, loads=True, clones=True).memory == 2 * payload + 100 + BASE
    whole = replace(scheme, whole_model=True)
    assert reckon(found, whole, loads=False).memory == round(1.08 * payload) + BASE + 1056
    uncovered = replace(scheme, multiple=64)
    assert reckon(found, uncovered, loads=False).payload == 1056


def test_what_fits_exactly_is_measured(tmp_path: Path) -> None:
    need = Budget(payload=1, memory=10, disk=20, bf16=2, distinct=1)
    assert missing(need, memory=10, disk=20) == ""
    assert missing(need, memory=9, disk=20) != ""
    assert missing(need, memory=10, disk=19) != ""
    assert missing(need, memory=10, disk=20, gpu=10) == ""
    require_room(need, tmp_path, Device.CPU)


def test_what_this_process_has_is_part_of_what_a_case_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10))
    assert 10 + 50e6 < budget.free(tmp_path, Device.CPU)["memory"] <= 10 + BASE  # torch is here


@pytest.mark.parametrize(("own", "counted"), [(400, 400), (BASE, BASE), (BASE + 1, BASE)])
def test_pages_of_files_are_not_counted_twice_nor_an_earlier_model(
    own: int, counted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SimpleNamespace(rss=own + 7000, shared=7000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10))
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: seen))
    assert budget.free(tmp_path, Device.CPU)["memory"] == 10 + counted


def test_what_does_not_fit_the_gpu_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 2**35))
    need = Budget(payload=1, memory=3 * 2**29, disk=20, bf16=2, distinct=1)
    require_room(need, tmp_path, Device.CPU)
    said = r"^needs 1\.5 GiB of GPU memory, 1\.0 GiB are free$"
    with pytest.raises(UnavailableError, match=said):
        require_room(need, tmp_path, Device.CUDA)


def test_only_safetensors_of_a_model_that_was_loaded_is_cloned() -> None:
    needs = {
        (route, form): budget.budget(find(f"cogvideox-2b.int8wo.{route}.{form}.cpu")).memory
        for route in ("quantize_", "torchao-config")
        for form in ("pickle", "safetensors", "safetensors-sharded")
    }
    once = needs["quantize_", "pickle"]
    twice = needs["torchao-config", "safetensors"]
    assert needs["quantize_", "safetensors"] == needs["torchao-config", "pickle"] == once
    assert needs["torchao-config", "safetensors-sharded"] == twice
    assert twice - once > 10**9


def test_a_table_of_positions_that_no_file_holds_is_counted() -> None:
    rows, columns, float64 = 16 + 13 * 30 * 45, 1920, 8
    assert shapes(registry.subjects()["cogvideox-2b"]).buffers == rows * columns * float64
    assert shapes(registry.subjects()["cogvideox-5b"]).buffers == 0
