"""The repro of every extra format that has lines is run, and ends as its case does."""

from pathlib import Path

import pytest
from repros import VERSIONS, repro
from script_runner import run

from conformance.axes import registry
from conformance.axes.base import Format
from conformance.case import Case, find
from conformance.report.repro.script import script
from conformance.session import current_expectations

pytestmark = pytest.mark.slow

SILENT = {
    "dduf-pickle": "that an archive has no weights is seen by who looks into it",
    "read-pickle-trained": "needs what a model is called with, to train it",
    "read-safetensors-trained": "needs what a model is called with, to train it",
    "dcp-2-to-1": "needs two processes",
    "dcp-1-to-2": "needs two processes",
    "fsdp-2-to-1": "needs two processes",
    "fsdp-1-to-2": "needs two processes",
}
EXTRA = [each for each in registry.formats().values() if each.extra]
EXPECTATIONS = current_expectations()


def is_expected_to_fail(case: Case) -> bool:
    return any(each.about(case.id) and each.holds_for(VERSIONS) for each in EXPECTATIONS)


def shown_by(form: Format, route: str) -> Case:
    """Return the case of int8, which is usual."""
    return find(f"flux-tiny.int8wo.{route}.{form.name}.cpu")


def test_every_other_format_has_lines() -> None:
    assert {each.name for each in EXTRA if each.script is None} == SILENT.keys()


@pytest.mark.parametrize("route", ["quantize_", "torchao-config"])
@pytest.mark.parametrize("form", [each for each in EXTRA if each.script], ids=lambda f: f.name)
def test_the_repro_of_an_extra_format_ends_as_its_case(
    form: Format, route: str, tmp_path: Path
) -> None:
    case = shown_by(form, route)
    packages = form.script.packages if form.script else ()
    for package in packages:
        pytest.importorskip(package)
    if route == "quantize_" and form.name.endswith("-with-config"):
        pytest.skip("config.json names no quantization on this route")
    ran = run(script(repro(case)), tmp_path)
    assert ran.code == int(is_expected_to_fail(case)), ran.output


def test_a_format_that_fills_a_model_makes_another_one(tmp_path: Path) -> None:
    """Saboteur: a loader that fills nothing leaves the weights of the other model."""
    case = find("flux-tiny.int8wo.quantize_.hub-pickle-into-quantized.cpu")
    text = script(repro(case))
    assert "load_torch_model(loaded, directory, safe=False)\n" in text
    ran = run(text.replace("load_torch_model(loaded, directory, safe=False)\n", "\n"), tmp_path)
    assert ran.code == 1, ran.output


def test_adapters_that_are_lost_are_seen(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    text = script(repro(find("flux-tiny.int8wo.quantize_.lora-state-dict.cpu")))
    line = "loaded.load_state_dict(state, assign=True)"
    assert line in text
    lost = f"{line}\nloaded.transformer_blocks[0].attn.to_q.lora_B['default'].weight.data.zero_()"
    ran = run(text.replace(line, lost), tmp_path)
    assert ran.code == 1, ran.output
    assert "to_q.lora_B.default.weight" in ran.output
