"""Every subject is what it claims to be: its size, its layers, its seeds."""

import inspect
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from conformance.axes import models, registry
from conformance.axes.base import Size
from conformance.axes.subjects import cogvideox
from conformance.errors import UsageError

SUBJECTS = registry.subjects()
BUILT = [name for name, subject in SUBJECTS.items() if subject.size is not Size.FULL]

STANDS_FOR = {
    "flux-dev": "flux-tiny",
    "flux-schnell": "flux-tiny",
    "cogvideox-2b": "cogvideox-tiny",
    "cogvideox-5b": "cogvideox-tiny",
    "cogvideox15-5b": "cogvideox15-tiny",
}
"""Full subject -> the tiny one that must have every kind of its layers."""

BFLOAT16 = {torch.bfloat16}
DTYPES = {"wan-tiny": {torch.bfloat16, torch.float32}}
"""Subject -> dtypes of its parameters, where they are not all bfloat16."""


def dtypes(model: Any) -> set[Any]:
    return {parameter.dtype for parameter in model.parameters()}


@cache
def on_meta(name: str) -> Any:
    return models.build_meta(SUBJECTS[name])


@cache
def built(name: str) -> Any:
    return models.build(SUBJECTS[name])


def output(name: str, seed: int) -> Any:
    return models.forward(built(name), models.inputs(SUBJECTS[name], seed))


def layer_kinds(model: Any) -> set[tuple[str, str]]:
    """Class and place of every leaf module, blocks of one kind counted once."""
    return {
        (type(module).__name__, re.sub(r"(?<=_blocks\.)\d+", "N", name))
        for name, module in model.named_modules()
        if not any(module.children())
    }


def floats(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, torch.Tensor) and each.is_floating_point():
                yield name, each


def test_the_subjects_are_those_of_the_design() -> None:
    sizes = {name: str(subject.size) for name, subject in SUBJECTS.items()}
    assert sizes == {
        "flux-tiny": "tiny",
        "flux-odd-tiny": "tiny",
        "flux-small": "small",
        "flux-schnell": "full",
        "flux-dev": "full",
        "cogvideox-tiny": "tiny",
        "cogvideox-cut-tiny": "tiny",
        "cogvideox-small": "small",
        "cogvideox15-tiny": "tiny",
        "cogvideox15-small": "small",
        "cogvideox-2b": "full",
        "cogvideox-5b": "full",
        "cogvideox15-5b": "full",
        "flux-pipeline": "pipeline",
        "cogvideox-pipeline": "pipeline",
        "sd3-tiny": "tiny",
        "wan-tiny": "tiny",
        "ltx-video-tiny": "tiny",
        "hunyuan-video-tiny": "tiny",
        "qwen-image-tiny": "tiny",
        "z-image-tiny": "tiny",
    }


@pytest.mark.parametrize("name", SUBJECTS)
def test_config_has_only_arguments_of_the_class(name: str) -> None:
    subject = SUBJECTS[name]
    accepted = inspect.signature(subject.family.load_class().__init__).parameters
    assert set(models.model_config(subject)) <= set(accepted)


@pytest.mark.parametrize("name", SUBJECTS)
def test_parameters_on_meta(name: str) -> None:
    parameters = list(on_meta(name).parameters())
    assert {str(p.device) for p in parameters} == {"meta"}
    assert dtypes(on_meta(name)) == DTYPES.get(name, BFLOAT16)
    assert sum(p.numel() for p in parameters) == SUBJECTS[name].parameters


@pytest.mark.parametrize("name", [n for n in BUILT if n != "flux-odd-tiny"])
def test_every_linear_takes_every_scheme(name: str) -> None:
    linears = [m for m in on_meta(name).modules() if isinstance(m, torch.nn.Linear)]
    assert linears
    assert not [linear for linear in linears if linear.in_features % 32]


@pytest.mark.parametrize("name", [n for n in BUILT if SUBJECTS[n].size is Size.SMALL])
def test_small_has_at_least_ten_million_parameters(name: str) -> None:
    assert 10_000_000 <= SUBJECTS[name].parameters <= 20_000_000


def test_every_full_subject_has_a_tiny_one() -> None:
    assert set(STANDS_FOR) == set(SUBJECTS) - set(BUILT)


@pytest.mark.parametrize(("full", "tiny"), STANDS_FOR.items())
def test_tiny_has_every_kind_of_layer(full: str, tiny: str) -> None:
    assert layer_kinds(on_meta(full)) <= layer_kinds(on_meta(tiny))


def test_layer_kinds_tell_the_patch_embeddings_apart() -> None:
    assert not layer_kinds(on_meta("cogvideox15-5b")) <= layer_kinds(on_meta("cogvideox-tiny"))


@pytest.mark.parametrize("name", BUILT)
def test_forward_is_finite_and_decided_by_the_seed(name: str) -> None:
    first = output(name, seed=0)
    assert first.isfinite().all()
    assert 0.1 < first.float().std() < 10
    assert torch.equal(first, output(name, seed=0))
    assert not torch.equal(first, output(name, seed=1))


@pytest.mark.parametrize("name", BUILT)
def test_weights_are_decided_by_the_seed(name: str) -> None:
    once, again = built(name).state_dict(), models.build(SUBJECTS[name]).state_dict()
    other = dict(models.build(SUBJECTS[name], seed=1).named_parameters())
    assert all(torch.equal(value, again[key]) for key, value in once.items())
    assert not any(torch.equal(once[key], value) for key, value in other.items())


@pytest.mark.thorough
@pytest.mark.parametrize("name", BUILT)
def test_no_two_tensors_can_be_mistaken(name: str) -> None:
    values = [parameter.detach() for parameter in built(name).parameters()]
    assert not [value for value in values if value.unique().numel() < value.numel() ** 0.5]
    bits = [value.view(torch.int16).numpy().tobytes() for value in values]
    assert len(set(bits)) == len(bits)


@pytest.mark.parametrize("name", BUILT)
def test_a_built_model_is_ready(name: str) -> None:
    model = built(name)
    assert not model.training
    assert {str(p.device) for p in model.parameters()} == {"cpu"}
    assert dtypes(model) == DTYPES.get(name, BFLOAT16)
    assert all(str(buffer.device) == "cpu" for buffer in model.buffers())


@pytest.mark.parametrize("name", BUILT)
def test_building_leaves_no_trace(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    SUBJECTS[name].family.load_class()
    capfd.readouterr()
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.forward(models.build(SUBJECTS[name]), models.inputs(SUBJECTS[name]))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_default_dtype() is dtype
    assert capfd.readouterr() == ("", "")


def test_wan_is_built_as_it_is_loaded(tmp_path: Path) -> None:
    model = built("wan-tiny")
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    wanted = {name: parameter.dtype for name, parameter in loaded.named_parameters()}
    assert {name: p.dtype for name, p in model.named_parameters()} == wanted
    kept = {name for name, dtype in wanted.items() if dtype is torch.float32}
    assert {name.split(".")[-1] for name in kept} == {"weight", "bias", "scale_shift_table"}
    # A loss of precision on the way would show.
    values = [p for name, p in model.named_parameters() if name in kept]
    assert not any(torch.equal(each.bfloat16().float(), each) for each in values)


class KeepsOne:
    """A class of diffusers that names one module, and not in a list."""

    _keep_in_fp32_modules = "norm"


@pytest.mark.parametrize(
    ("model_class", "name", "kept"),
    [
        (KeepsOne, "blocks.0.norm.weight", True),
        (KeepsOne, "norm", True),
        (KeepsOne, "blocks.0.norm1.weight", False),
        (torch.nn.Linear, "norm.weight", False),
    ],
)
def test_what_is_kept_in_float32(model_class: type, name: str, kept: bool) -> None:
    assert models.kept_in_float32(model_class, name) is kept


def test_a_list_of_samples_is_unpacked() -> None:
    class Listing(torch.nn.Module):  # type: ignore[misc]
        device = torch.device("cpu")

        def forward(self, x: tuple[Any, ...], return_dict: bool) -> tuple[list[Any]]:
            assert not return_dict
            return (list(x),)

    (image,) = models.inputs(SUBJECTS["z-image-tiny"])["x"]
    assert torch.equal(models.forward(Listing(), {"x": (image,)}), image)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("ltx-video-tiny", "encoder_attention_mask"),
        ("hunyuan-video-tiny", "encoder_attention_mask"),
        ("qwen-image-tiny", "encoder_hidden_states_mask"),
    ],
)
def test_padding_of_the_text_is_masked(name: str, mask: str) -> None:
    arguments = models.inputs(SUBJECTS[name])
    assert arguments[mask].sum() == 12
    arguments["encoder_hidden_states"][:, 12:] += 1
    assert torch.equal(models.forward(built(name), arguments), output(name, seed=0))
    arguments[mask][:] = 1
    assert not torch.equal(models.forward(built(name), arguments), output(name, seed=0))


class Buffered(torch.nn.Module):  # type: ignore[misc]
    """A model as diffusers makes some: with a table in float32 that is saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2, device="meta")
        self.register_buffer("saved", torch.full((2,), 0.1))
        self.register_buffer("unsaved", torch.full((2,), 0.1), persistent=False)
        self.register_buffer("counted", torch.ones(2, dtype=torch.int64))


def test_what_is_saved_is_built_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_construct", lambda *_, **__: Buffered())
    built_now = models.build(SUBJECTS["flux-tiny"])
    dtypes = {name: tensor.dtype for name, tensor in built_now.named_buffers()}
    assert dtypes == {
        "saved": torch.bfloat16,
        "unsaved": torch.float32,
        "counted": torch.int64,
    }
    assert torch.equal(built_now.saved, torch.full((2,), 0.1, dtype=torch.bfloat16))


def test_a_failed_build_restores_the_default_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "model_config", lambda _: {"no_such_argument": 1})
    with pytest.raises(TypeError, match="no_such_argument"):
        models.build(SUBJECTS["flux-tiny"])
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("name", SUBJECTS)
def test_inputs_are_seeded_bfloat16(name: str) -> None:
    state = torch.get_rng_state()
    first, again = (list(floats(models.inputs(SUBJECTS[name], seed=3))) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, two) for (_, one), (_, two) in zip(first, again, strict=True))
    # Rotary tables are float32 in diffusers whatever the model's dtype.
    assert {tensor.dtype for key, tensor in first if key != "image_rotary_emb"} == BFLOAT16


@pytest.mark.parametrize("name", [n for n in SUBJECTS if n.startswith("flux")])
def test_flux_guidance_is_given_where_it_is_embedded(name: str) -> None:
    config = models.model_config(SUBJECTS[name])
    assert ("guidance" in models.inputs(SUBJECTS[name])) is config["guidance_embeds"]
    assert config["guidance_embeds"] is (name != "flux-schnell")
    assert sum(config["axes_dims_rope"]) == config["attention_head_dim"]


@pytest.mark.parametrize("name", ["cogvideox-tiny", "cogvideox-small"])
def test_cogvideox_video_has_exactly_the_size_of_the_config(name: str) -> None:
    config = models.model_config(SUBJECTS[name])
    video = models.inputs(SUBJECTS[name])["hidden_states"]
    _, frames, _, height, width = video.shape
    assert (height, width) == (config["sample_height"], config["sample_width"])
    assert config["temporal_compression_ratio"] * (frames - 1) + 1 == config["sample_frames"]


@pytest.mark.parametrize("name", ["cogvideox-tiny", "cogvideox-small"])
def test_cogvideox_forward_reads_its_position_buffer(name: str) -> None:
    model = models.build(SUBJECTS[name])
    assert "patch_embed.pos_embedding" not in model.state_dict()
    model.patch_embed.pos_embedding.zero_()
    changed = models.forward(model, models.inputs(SUBJECTS[name]))
    assert not torch.equal(changed, output(name, seed=0))


@pytest.mark.parametrize("name", ["cogvideox15-tiny", "cogvideox15-small"])
def test_cogvideox15_forward_reads_its_rotary_embedding(name: str) -> None:
    arguments = models.inputs(SUBJECTS[name])
    cos, sin = arguments["image_rotary_emb"]
    arguments["image_rotary_emb"] = (cos, -sin)
    assert not torch.equal(models.forward(built(name), arguments), output(name, seed=0))


@pytest.mark.parametrize(
    ("name", "shape", "tokens"),
    [
        ("cogvideox-5b", (1, 2, 16, 4, 6), 12),
        ("cogvideox15-tiny", (1, 2, 16, 8, 12), 24),
        ("cogvideox15-5b", (1, 2, 16, 4, 6), 6),
    ],
)
def test_cogvideox_rotary_inputs(name: str, shape: tuple[int, ...], tokens: int) -> None:
    config = models.model_config(SUBJECTS[name])
    arguments = models.inputs(SUBJECTS[name])
    assert arguments["hidden_states"].shape == shape
    table = (tokens, config["attention_head_dim"])
    assert [tuple(part.shape) for part in arguments["image_rotary_emb"]] == [table, table]


@pytest.mark.parametrize(
    ("name", "text"), [("cogvideox-2b", 16), ("cogvideox-5b", 16), ("flux-schnell", 3)]
)
def test_large_models_get_a_short_text(name: str, text: int) -> None:
    assert models.inputs(SUBJECTS[name])["encoder_hidden_states"].shape[1] == text


def test_a_table_of_positions_gets_its_whole_text() -> None:
    config = models.model_config(SUBJECTS["cogvideox-2b"])
    assert cogvideox.text_tokens({**config, "max_text_seq_length": 226}, short=True) == 226


def test_frames_are_rounded_up_to_a_whole_patch() -> None:
    config = {**models.model_config(SUBJECTS["cogvideox15-tiny"]), "sample_frames": 9}
    assert cogvideox.latent_size(config) == (4, 8, 12)


def test_a_missing_config_names_the_file_to_add() -> None:
    subject = replace(SUBJECTS["flux-tiny"], name="flux-nano")
    with pytest.raises(UsageError, match=r"flux-nano.*add fixtures/models/flux-nano\.json"):
        models.model_config(subject)


def test_an_installed_package_reads_its_own_configs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "flux-tiny.json").write_text(json.dumps({"num_layers": 7}))
    beside = models._FIXTURES[1]
    monkeypatch.setattr(models, "_FIXTURES", (tmp_path, beside))
    assert models.model_config(SUBJECTS["flux-tiny"]) == {"num_layers": 7}
    assert models.model_config(SUBJECTS["flux-small"])["in_channels"] == 64


def test_naming_cases_and_subjects_imports_no_torch() -> None:
    code = """
import sys
import conformance.case
from conformance.axes import models, registry
registry.subjects()
print(sorted({"torch", "diffusers", "torchao", "accelerate"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
