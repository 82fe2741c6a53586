"""Each look of a repro sees a defect of its own, and is silent where nothing is wrong."""

import json
import re
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from script_runner import Before, run, run_in_turn
from test_repro_runs import HEALTHY, VERSIONS, on_saving, repro

from conformance.case import Case
from conformance.report.repro.defect import Defect, Found
from conformance.report.repro.looks import LOOKS
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import script
from conformance.roundtrip.outcome import Stage

pytestmark = pytest.mark.thorough

# Every look is silent where nothing is wrong, and sees a defect of its own.


def on_loading(change: Any) -> None:
    import diffusers

    load = diffusers.ModelMixin.from_pretrained.__func__

    def changed(cls: Any, *arguments: Any, **options: Any) -> Any:
        model = load(cls, *arguments, **options)
        change(model)
        return model

    diffusers.ModelMixin.from_pretrained = classmethod(changed)


def parameter(value: Any) -> Any:
    import torch

    return torch.nn.Parameter(value, requires_grad=False)


def set_weight(model: Any, value: Any) -> None:
    model.proj_out.weight = parameter(value)


def set_bias(model: Any, value: Any) -> None:
    model.proj_out.bias = parameter(value)


def frees_gradients() -> None:
    def free(model: Any) -> None:
        for each in model.parameters():
            each.requires_grad_(not hasattr(each, "__tensor_flatten__"))

    on_loading(free)


def drops_bias() -> None:
    on_loading(lambda model: setattr(model.proj_out, "bias", None))


def dequantizes() -> None:
    on_loading(lambda model: set_weight(model, model.proj_out.weight.dequantize()))


def changes_block_size() -> None:
    on_loading(lambda model: setattr(model.proj_out.weight, "block_size", [1, 1]))


def flips_a_bit() -> None:
    on_loading(lambda model: model.proj_out.weight.qdata[0, :1].bitwise_xor_(1))


def widens_bias() -> None:
    on_loading(lambda model: set_bias(model, model.proj_out.bias.float()))


def leaves_on_meta() -> None:
    on_loading(lambda model: set_bias(model, model.proj_out.bias.to("meta")))


def cuts_bias() -> None:
    on_loading(lambda model: set_bias(model, model.proj_out.bias[:-1].clone()))


def unsqueezes_bias() -> None:
    on_loading(lambda model: set_bias(model, model.proj_out.bias[None]))


def shares_bias() -> None:
    on_loading(lambda model: set_bias(model, model.context_embedder.bias.detach()))


def on_output(factor: float) -> None:
    hook = lambda _module, _inputs, out: out * factor  # noqa: E731
    on_loading(lambda model: model.proj_out.register_forward_hook(hook))


def doubles_output() -> None:
    on_output(2.0)


def zeroes_output() -> None:
    on_output(0.0)


def around_quantize(change: Any) -> None:
    import torchao.quantization

    quantize = torchao.quantization.quantize_

    def changed(model: Any, config: Any) -> None:
        quantize(model, config)
        change(model, config)

    torchao.quantization.quantize_ = changed


def scales_a_layer() -> None:
    around_quantize(lambda model, _: model.proj_out.weight.scale.mul_(4.0))


def changes_config() -> None:
    around_quantize(lambda _, config: setattr(config, "group_size", 7))


def leaves_a_layer() -> None:
    around_quantize(lambda model, _: set_weight(model, model.proj_out.weight.dequantize()))


def after_saving(change: Any) -> None:
    import diffusers

    first = diffusers.ModelMixin.save_pretrained

    def save(model: Any, directory: Any, **options: Any) -> None:
        first(model, directory, **options)
        change(Path(directory))

    on_saving(save)


def writes_more() -> None:
    def more(directory: Path) -> None:
        import torch

        torch.save(torch.ones(64, 64), directory / "more.bin")

    after_saving(more)


def drifts() -> None:
    turns = count()

    def rename(directory: Path) -> None:
        path = directory / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**config, "turn": next(turns)}), encoding="utf-8")

    after_saving(rename)


def found(check: str, what: str = "it differs", **more: str) -> Found:
    return Found(check, Stage.STRUCTURE, what, **more)


SEEN: dict[str, tuple[Found, Before]] = {
    "keys": (found("keys"), drops_bias),
    "subclass": (found("subclass"), dequantizes),
    "nested subclass": (found("subclass", wanted="Outer/Inner"), dequantizes),
    "attributes": (found("attributes", "block_size differs"), changes_block_size),
    "any attribute": (found("attributes", path="proj_out.weight/0.a"), changes_block_size),
    "bits": (found("bits"), flips_a_bit),
    "dtype": (found("dtype"), widens_bias),
    "device": (found("device"), leaves_on_meta),
    "shape": (found("shape"), cuts_bias),
    "shape of another rank": (found("shape"), unsqueezes_bias),
    "aliasing": (found("aliasing"), shares_bias),
    "output": (found("output"), doubles_output),
    "accuracy": (found("accuracy"), zeroes_output),
    "caller_config": (found("caller_config"), changes_config),
    "coverage": (found("coverage"), leaves_a_layer),
    "layers": (found("layers"), scales_a_layer),
    "payload": (found("payload", "payload differs"), writes_more),
    "config": (found("config"), drifts),
    "resave": (found("resave", "save 2 differs"), flips_a_bit),
}


def text_of(shown: Found, case: Case = HEALTHY, *, fresh: bool = False) -> str:
    return script(Repro(case, VERSIONS, Defect(shown, fresh)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_a_look_sees_its_defect(name: str, tmp_path: Path) -> None:
    shown, before = SEEN[name]
    ran = run(text_of(shown), tmp_path, before)
    assert ran.code == 1, ran.output
    assert re.search(r"\n[1-9]\d* of \d+ differ$", ran.output.strip())


def limited(limit: str, what: str) -> Found:
    return found("payload", what, path="proj_out.weight", wanted=limit)


def small(reduction: float) -> Case:
    return replace(HEALTHY, scheme=replace(HEALTHY.scheme, reduction=reduction))


@pytest.mark.parametrize("before", [flips_a_bit, doubles_output, dequantizes, drops_bias])
def test_the_script_of_a_passing_case_sees_a_defect(before: Before, tmp_path: Path) -> None:
    ran = run(script(Repro(HEALTHY, VERSIONS)), tmp_path, before)
    assert ran.code == 1, ran.output


LIMITS = (
    (text_of(limited("99999 bytes", "weight exceeds its limit")), 0),
    (text_of(limited("9 bytes", "weight exceeds its limit")), 1),
    (text_of(limited("0 to 999999 bytes", "overhead is too large")), 0),
    (text_of(limited("0 to 9 bytes", "overhead is too large")), 1),
    (text_of(found("reduction"), small(9.0)), 0),
    (text_of(found("reduction"), small(0.001)), 1),
)


def test_looks_are_silent_where_nothing_is_wrong(tmp_path: Path) -> None:
    texts = [text_of(shown) for shown, _ in SEEN.values()]
    wanted = [0] * len(texts) + [code for _, code in LIMITS]
    ran = run_in_turn([*texts, *(text for text, _ in LIMITS)], tmp_path)
    assert [each.code for each in ran] == wanted, [each.output[-300:] for each in ran]


def test_a_mended_flag_is_gone(tmp_path: Path) -> None:
    text = repro(HEALTHY, "requires_grad")
    assert run(text, tmp_path, frees_gradients).code == 0


def test_every_check_is_seen_or_measured() -> None:
    tried = {shown.check for shown, _ in SEEN.values()} | {"requires_grad", "reduction"}
    assert tried == LOOKS.keys()
