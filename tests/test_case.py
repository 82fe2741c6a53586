"""Cases: their ids, their order, and how they are chosen."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from conformance.axes.base import Device, Size
from conformance.axes.registry import subjects, unique
from conformance.case import all_cases, default_cases, find, select
from conformance.errors import UsageError


def test_ids_are_shell_safe_and_have_a_segment_for_each_axis() -> None:
    for case_id in all_cases():
        assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+){4}", case_id)


def test_a_name_that_is_declared_twice_is_an_error() -> None:
    subject = subjects()["flux-tiny"]
    with pytest.raises(ValueError, match="declared twice"):
        unique([subject, subject])
    with pytest.raises(ValueError, match="cannot be a segment"):
        unique([replace(subject, name="flux.tiny")])


def test_an_id_is_found_and_a_typo_is_not() -> None:
    case = default_cases()[0]
    assert find(case.id) == case
    with pytest.raises(UsageError, match="conformance list"):
        find("flux-tiny.int8wo")


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("flux-tiny.int8w0.quantize_.pickle.cpu", "flux-tiny.int8wo.quantize_.pickle.cpu"),
        ("flux-tinny.int8wo.quantise_.pickl.cpu", "flux-tiny.int8wo.quantize_.pickle.cpu"),
        ("*.floet8wo.*", "*.float8wo.*"),
    ],
)
def test_a_typo_in_a_name_is_put_right(typo: str, meant: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"did you mean {meant!r}?")):
        select([typo])
    with pytest.raises(UsageError, match=re.escape(f"did you mean {meant!r}?")):
        find(typo)


@pytest.mark.parametrize("wrong", ["flux-*.nothing-like-it.*", "flux-tiny.int8w0", "flux-t*.cpu.x"])
def test_what_is_no_spelling_of_a_case_is_not_suggested(wrong: str) -> None:
    with pytest.raises(UsageError, match="`conformance list` prints the ids"):
        select([wrong])


def test_globs_select_in_the_order_of_enumeration() -> None:
    chosen = select(["*.pickle.cpu", "flux-tiny.int8wo.*"])
    order = list(all_cases())
    assert [order.index(case.id) for case in chosen] == sorted(order.index(c.id) for c in chosen)
    with pytest.raises(UsageError, match="matches no case"):
        select(["*.pickle.cpu", "nothing.*"])


def test_cases_of_a_group_follow_each_other() -> None:
    groups = [case.group for case in default_cases()]
    changes = sum(left != right for left, right in pairwise(groups))
    assert changes == len(set(groups)) - 1


def test_enumerating_every_case_imports_no_torch() -> None:
    code = (
        "import sys, conformance.case as c, conformance.plugin, conformance.cli;"
        " assert len(c.all_cases()) > 2000; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_device_is_where_it_is_written_and_where_it_is_read() -> None:
    ends = {str(each): (str(each.writer), str(each.reader)) for each in Device}
    assert ends == {
        "cpu": ("cpu", "cpu"),
        "cuda": ("cuda", "cuda"),
        "cuda-to-cpu": ("cuda", "cpu"),
        "cpu-to-cuda": ("cpu", "cuda"),
    }
    assert [str(each) for each in Device if each.crossed] == ["cuda-to-cpu", "cpu-to-cuda"]


def test_a_case_that_crosses_shares_the_model_of_its_writer() -> None:
    crossed = find("flux-tiny.int8wo.quantize_.pickle.cuda-to-cpu")
    assert crossed.quantized == find("flux-tiny.int8wo.quantize_.pickle.cuda").quantized
    assert "gpu" in crossed.markers


def test_tiny_models_cross_by_the_loaders_that_take_a_device() -> None:
    crossed = [each for each in all_cases().values() if each.device.crossed]
    assert {each.subject.size for each in crossed} == {Size.TINY}
    assert {each.format.name for each in crossed} == {"pickle", "safetensors", "state-dict"}
    assert not [each for each in default_cases() if each.device is not Device.CPU]
