"""Somebody's own checkpoint is recorded once and verified later; every damage has its verdict."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import own_checkpoints as own
import pytest
import torch
from own_checkpoints import asked, checks, hide, recorded, verdict, verified

from conformance.errors import UsageError
from conformance.judging.verdicts import Verdict
from conformance.roundtrip import own_load
from conformance.roundtrip.checkpoint import checkpoint_at, record_beside, record_of
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.own import record
from conformance.roundtrip.record import Record
from fixtures.saboteurs.surgery import edit_safetensors, edit_torch

pytestmark = pytest.mark.thorough

QUERY = "transformer_blocks.0.attn.to_q"
GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
VAE_INPUTS = f"{Path(own.__file__)}:image"


FORMS = {
    "pickle": own.pickled,
    "pickle-sharded": own.in_shards,
    "safetensors": own.in_safetensors,
    "state-dict": own.state_dict,
}
MADE = tuple(f"{family}-{form}" for family in ("flux", "cogvideox") for form in FORMS)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make each checkpoint once and record it."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            family, _, form = name.partition("-")
            directory = tmp_path_factory.mktemp(name) / "mine"
            made[name] = FORMS[form](f"{family}-tiny", directory)
            recorded(made[name])
        return made[name]

    return get


@pytest.fixture
def mine(kept: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of a checkpoint and its record, which may be damaged."""

    def copied(name: str) -> Path:
        return shutil.copytree(kept(name).parent, tmp_path / "copy") / kept(name).name

    return copied


@pytest.mark.parametrize("name", MADE)
def test_what_was_recorded_comes_back(kept: Callable[[str], Path], name: str) -> None:
    path = kept(name)
    answer, known = verified(path), Record.read(record_beside(path))
    assert (verdict(answer), answer.changed) == (Verdict.PASS, ())
    assert {each.subclass for each in known.facts.quantized.values()} == {"Int8Tensor"}
    assert known.payload_bytes == answer.outcome.measures["payload_bytes"]
    stages = [step.stage for step in answer.outcome.steps]
    called = [] if "state-dict" in name else [Stage.OUTPUT]
    assert stages == [Stage.INSPECT, Stage.LOAD, Stage.STRUCTURE, *called]
    assert (known.output is not None) == bool(called)


def test_a_record_is_the_suites_own_and_says_how_the_checkpoint_is_read(
    kept: Callable[[str], Path],
) -> None:
    path = kept("flux-safetensors")
    known = Record.read(record_beside(path))
    assert known.case == "mine.own.recorded.safetensors.cpu"
    source = known.source
    assert source
    assert (source.model, source.dtype, source.inputs, source.silent) == (
        "FluxTransformer2DModel",
        "bfloat16",
        "flux",
        "",
    )
    assert set(source.files) == {"config.json", "diffusion_pytorch_model.safetensors"}
    assert known.config == json.loads((path / "config.json").read_text())
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "mine",
        "mine.record.json",
        "plain",
    ]


def test_the_same_bits_are_recorded_of_every_form(kept: Callable[[str], Path]) -> None:
    facts = [
        Record.read(record_beside(kept(f"flux-{form}"))).facts
        for form in ("pickle", "pickle-sharded", "state-dict")
    ]
    bits = [{(key, name, each.digest) for key, name, each in one.leaves()} for one in facts]
    assert bits[0] == bits[1] == bits[2]


# Damage: first it is another checkpoint; where only the reading changes, it is found there.


def flip(tensors: dict[str, Any], _: dict[str, str]) -> None:
    tensors[f"{QUERY}._weight_qdata"].view(-1)[3] ^= 1


def drop(tensors: dict[str, Any], _: dict[str, str]) -> None:
    tensors.pop(f"{QUERY}._weight_scale")


def stretch(tensors: dict[str, Any], _: dict[str, str]) -> None:
    tensors[f"{QUERY}._weight_scale"] *= 1.01


def edited(change: Callable[[dict[str, Any], dict[str, str]], None]) -> own.Damage:
    return lambda path: edit_safetensors(path, change)


FLIPPED, DROPPED, STRETCHED = edited(flip), edited(drop), edited(stretch)
DAMAGE: dict[str, tuple[own.Damage, str]] = {
    "flipped": (FLIPPED, f"1 of 126 tensors and notes differ: {QUERY}._weight_qdata"),
    "dropped": (DROPPED, f"1 of 126 tensors and notes differ: {QUERY}._weight_scale"),
    "stretched": (STRETCHED, f"1 of 126 tensors and notes differ: {QUERY}._weight_scale"),
    "config": (lambda path: own.edit_config(path, guidance_embeds=False), "guidance_embeds"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_files_that_changed_are_another_checkpoint_and_say_what_changed(
    mine: Callable[[str], Path], name: str
) -> None:
    path = mine("flux-safetensors")
    damage, words = DAMAGE[name]
    damage(path)
    answer = verified(path)
    (changed,) = answer.changed
    file = "config.json" if name == "config" else "diffusion_pytorch_model.safetensors"
    assert changed == f"{file} changed: {words}"
    assert verdict(answer) is None
    assert [step.stage for step in answer.outcome.steps] == [Stage.INSPECT], "nothing is loaded"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (FLIPPED, {"bits", "output"}),
        (DROPPED, {"device", "subclass"}),
        (STRETCHED, {"bits", "output"}),
    ],
)
def test_a_reading_that_gives_something_else_is_corrupt(
    mine: Callable[[str], Path], damage: own.Damage, found: set[str]
) -> None:
    path = mine("flux-safetensors")
    damage(path)
    hide(path)
    answer = verified(path)
    assert answer.changed == ()
    assert verdict(answer) is Verdict.CORRUPT
    assert checks(answer.outcome) == found


@pytest.mark.parametrize("name", ["flux-pickle", "flux-state-dict"])
def test_a_bit_that_is_read_otherwise_from_a_pickle_is_corrupt(
    mine: Callable[[str], Path], name: str
) -> None:
    path = mine(name)

    def change(state: dict[str, Any]) -> None:
        state[f"{QUERY}.weight"].qdata.view(-1)[3] ^= 1

    edit_torch(path if path.is_dir() else path.parent, change)
    assert verified(path).changed != ()
    hide(path)
    answer = verified(path)
    assert verdict(answer) is Verdict.CORRUPT
    assert "bits" in checks(answer.outcome)


def test_a_config_that_is_read_otherwise_loads_to_something_else(
    mine: Callable[[str], Path],
) -> None:
    path = mine("flux-pickle")
    own.edit_config(path, axes_dims_rope=[8, 4, 4])
    hide(path)
    answer = verified(path)
    assert (verdict(answer), checks(answer.outcome)) == (Verdict.CORRUPT, {"output"})


def test_the_same_tensors_in_other_bytes_are_said_to_be_so(mine: Callable[[str], Path]) -> None:
    path = mine("flux-safetensors")
    file = path / "diffusion_pytorch_model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length] + b" " * 8
    file.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    (changed,) = verified(path).changed
    assert changed == f"{file.name} changed: the same contents in other bytes"


def test_a_damaged_file_is_said_to_be_so(mine: Callable[[str], Path]) -> None:
    path = mine("flux-safetensors")
    file = path / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    (changed,) = verified(path).changed
    assert changed.startswith(f"{file.name} changed: it is damaged (")
    answer = record(asked(path))
    assert answer.outcome.failure
    assert answer.outcome.failure.stage is Stage.INSPECT


def test_files_that_came_and_went_are_named(mine: Callable[[str], Path]) -> None:
    path = mine("flux-pickle-sharded")
    gone = sorted(path.glob("*.bin"))[3]
    gone.rename(path / "other.bin")
    assert verified(path).changed == (f"{gone.name} is gone", "other.bin is new")


# What is recorded, and what not


def test_a_model_of_nobodys_family_is_recorded_without_outputs(tmp_path: Path) -> None:
    path = own.unquantized(tmp_path / "vae")
    known = recorded(path)
    assert known.source
    assert known.source.silent == (
        "no inputs are known for AutoencoderKL; give --inputs module:function"
    )
    assert (known.source.dtype, known.output, known.reference) == ("float32", None, None)
    answer = verified(path)
    assert verdict(answer) is Verdict.PASS
    assert answer.outcome.storage_only == known.source.silent


def test_inputs_of_ones_own_are_named_again_and_never_imported_from_a_record(
    tmp_path: Path,
) -> None:
    path = own.unquantized(tmp_path / "vae")
    known = recorded(path, inputs=VAE_INPUTS)
    assert known.output
    assert known.output.shape == (1, 3, 8, 8)
    assert verdict(verified(path, inputs=VAE_INPUTS)) is Verdict.PASS
    with pytest.raises(UsageError, match=r"checkpoints\.py:image, and what a file names is not"):
        verified(path)
    with pytest.raises(UsageError, match=r"checkpoints\.py:image, not with os:getcwd"):
        verified(path, inputs="os:getcwd")


def test_a_kernel_that_computes_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = own.unquantized(tmp_path / "vae")
    recorded(path, inputs=VAE_INPUTS)
    silu = torch.nn.functional.silu
    monkeypatch.setattr(
        torch.nn.functional, "silu", lambda given, **options: silu(given, **options) * 1.01
    )
    answer = verified(path, inputs=VAE_INPUTS)
    assert (verdict(answer), checks(answer.outcome)) == (Verdict.CORRUPT, {"output"})


def test_without_outputs_none_is_compared(kept: Callable[[str], Path]) -> None:
    answer = verified(kept("flux-pickle"), outputs=False)
    assert verdict(answer) is Verdict.PASS
    assert answer.outcome.storage_only == "--no-outputs was given"
    assert Stage.OUTPUT not in [step.stage for step in answer.outcome.steps]


@pytest.mark.parametrize(
    "named", ["flux", "FluxTransformer2DModel", "diffusers:FluxTransformer2DModel"]
)
def test_a_class_can_be_named(kept: Callable[[str], Path], tmp_path: Path, named: str) -> None:
    path = shutil.copytree(kept("flux-pickle"), tmp_path / "mine")
    recorded(path, model=named)
    assert verdict(verified(path, model=named)) is Verdict.PASS


def test_a_model_that_is_not_whole_is_not_recorded(mine: Callable[[str], Path]) -> None:
    path = mine("flux-safetensors")
    DROPPED(path)
    record_beside(path).unlink()
    answer = record(asked(path))
    assert answer.outcome.no_result
    assert "with tensors on the meta device" in answer.outcome.no_result.reason
    assert not record_beside(path).exists()


def test_a_record_that_breaks_off_leaves_what_was_there(
    mine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mine("flux-pickle")
    before = record_beside(path).read_bytes()

    def broken_off(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", broken_off)
    with pytest.raises(KeyboardInterrupt):
        record(asked(path))
    assert record_beside(path).read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["mine", "mine.record.json"]


# Bad input is a line


def test_bad_paths_are_a_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "model_index.json").touch()
    for name, words in {
        "gone": "is not there",
        "notes.txt": "is no weight file",
        "empty": "holds no weight files",
        "pipe": "is a pipeline; name one of its models",
    }.items():
        with pytest.raises(UsageError, match=words) as raised:
            checkpoint_at(tmp_path / name)
        assert "\n" not in str(raised.value)
    with pytest.raises(UsageError, match="conformance record"):
        record_of(tmp_path / "empty")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("flux-state-dict", {"model": "flux"}, "--class is for a model"),
        ("flux-pickle", {"model": "torch.nn:Linear"}, "is no ModelMixin of diffusers"),
        ("flux-pickle", {"model": "nowhere:Thing"}, "--class nowhere:Thing: ModuleNotFoundError"),
        ("flux-pickle", {"dtype": "int8"}, "--dtype int8: give one of float64"),
    ],
)
def test_bad_options_are_a_line(
    kept: Callable[[str], Path],
    tmp_path: Path,
    name: str,
    options: dict[str, str],
    words: str,
) -> None:
    path = kept(name)
    given = asked(path, **options)
    with pytest.raises(UsageError, match=words):
        record(replace(given, record=tmp_path / "r.json"))
    assert not (tmp_path / "r.json").exists()


def test_a_record_names_no_class_to_import(mine: Callable[[str], Path]) -> None:
    path = mine("flux-pickle")
    place = record_beside(path)
    data = json.loads(place.read_text())
    data["source"]["model"] = "antigravity:Anything"
    place.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="what a file names is not imported; give --class again"):
        verified(path)


def test_a_class_that_diffusers_lacks_cannot_be_read(mine: Callable[[str], Path]) -> None:
    path = mine("flux-pickle")
    own.edit_config(path, _class_name="ModelOfTheFuture")
    answer = record(asked(path))
    assert answer.outcome.failure
    assert (answer.outcome.failure.stage, answer.outcome.failure.type) == (
        Stage.LOAD,
        "ImportError",
    )


def test_the_dtype_is_that_of_most_that_is_stored(kept: Callable[[str], Path]) -> None:
    for name in ("flux-safetensors", "flux-pickle"):
        assert own_load.main_dtype(checkpoint_at(kept(name))) == "bfloat16"
