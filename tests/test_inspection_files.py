"""Files of one checkpoint: do they agree, which of them wins, and how much is read of them?"""

import json
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pickled import archive, int8, pickled, safetensors, tensor

from conformance.inspection.agreement import agreement
from conformance.inspection.config import parse
from conformance.inspection.findings import Kind
from conformance.inspection.kinds import Quantized
from conformance.inspection.readers import table
from conformance.inspection.sources import Folder
from conformance.inspection.whole import Checkpoint, checkpoints
from conformance.versions.golden import DIRECTORY

SAFE = DIRECTORY / "torchao-0.18" / "flux-tiny.int8wo-v2.torchao-config.safetensors.cpu"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
NAME = "diffusion_pytorch_model.safetensors"
META = json.dumps(
    {
        "_type": "Int8Tensor",
        "_data": {"block_size": [1, 4], "dtype": {"_type": "torch.dtype", "_data": "bfloat16"}},
        "_tensor_data_names": ["qdata", "scale"],
    }
)
PARTS = {"0._weight_qdata": ("I8", [4, 4], 16), "0._weight_scale": ("F32", [4, 1], 16)}
METADATA = {"0.weight": META, "tensor_names": '["0.weight"]'}
SIZES = {"0q": 16, "0s": 16, "0z": 4, "p": 16}


def inspected(directory: Path) -> Checkpoint:
    (found,) = checkpoints(Folder(directory), table().names)
    return found


def wrong(directory: Path) -> dict[Kind, str]:
    return {each.kind: each.what for each in inspected(directory).findings if each.kind.wrong}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A checkpoint in safetensors, with config.json, in which nothing is wrong."""
    shutil.copytree(SAFE / "checkpoint", tmp_path / "c")
    assert wrong(tmp_path / "c") == {}
    return tmp_path / "c"


def edit_config(directory: Path, edit: Callable[[Any], object]) -> None:
    path = directory / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def asked(kind: str, **data: Any) -> dict[str, Any]:
    return {"default": {"_type": kind, "_version": 2, "_data": data}}


# config.json


def test_a_config_that_says_another_scheme(golden: Path) -> None:
    said = asked("Float8WeightOnlyConfig")
    edit_config(golden, lambda each: each["quantization_config"].update(quant_type=said))
    assert wrong(golden)[Kind.DISAGREES].startswith(
        "it says Float8WeightOnlyConfig, and 30 are int8 weights, weight only, per row (Int8Tensor)"
    )


def test_a_config_that_says_dynamic(golden: Path) -> None:
    said = asked("Int8DynamicActivationInt8WeightConfig")
    edit_config(golden, lambda each: each["quantization_config"].update(quant_type=said))
    assert Kind.DISAGREES in wrong(golden)


def test_a_config_that_says_nothing(golden: Path) -> None:
    edit_config(golden, lambda each: each.pop("quantization_config"))
    what = "the weights are quantized, and it says nothing of quantization"
    assert wrong(golden) == {Kind.DISAGREES: what}


def test_a_config_over_plain_weights(golden: Path) -> None:
    (golden / NAME).unlink()
    safetensors(golden / NAME, {"0.weight": ("BF16", [4, 4], 32)})
    assert wrong(golden)[Kind.DISAGREES].endswith("and no weight is quantized")


def test_a_config_that_is_not_known_is_not_judged(golden: Path) -> None:
    said = asked("BrandNewConfig")
    edit_config(golden, lambda each: each["quantization_config"].update(quant_type=said))
    assert wrong(golden) == {}
    assert "not known here" in inspected(golden).findings[0].what


def test_a_damaged_config(golden: Path) -> None:
    (golden / "config.json").write_text("{", encoding="utf-8")
    assert wrong(golden)[Kind.DAMAGED].startswith("its JSON is damaged")


CONFIGS = {
    "Int8WeightOnlyConfig": Quantized("int8"),
    "Int4WeightOnlyConfig": Quantized("int4"),
    "Float8DynamicActivationFloat8WeightConfig": Quantized("float8", "float8"),
    "Int8DynamicActivationInt4WeightConfig": Quantized("int4", "int8"),
    "Float8DynamicActivationInt4WeightConfig": Quantized("int4", "float8"),
    "Other": None,
}


@pytest.mark.parametrize(("kind", "wanted"), CONFIGS.items())
def test_what_a_config_asks_for(kind: str, wanted: Quantized | None) -> None:
    (said,) = parse({"quantization_config": {"quant_type": asked(kind)}}).said
    assert said.quantized == wanted


WORDS = {
    "int8wo": Quantized("int8"),
    "int8dq": Quantized("int8", "int8"),
    "float8dq_e4m3_row": Quantized("float8", "float8"),
    "float8_weight_only": Quantized("float8"),
    "uint4wo": Quantized("uint4"),
    "strange": None,
}


@pytest.mark.parametrize(("word", "wanted"), WORDS.items())
def test_what_the_short_names_of_older_releases_ask_for(
    word: str, wanted: Quantized | None
) -> None:
    (said,) = parse({"quantization_config": {"quant_type": word}}).said
    assert said.quantized == wanted


def test_intx_says_its_bits_in_a_field() -> None:
    dtype = {"_type": "torch.dtype", "_data": "int4"}
    said = parse(
        {"quantization_config": {"quant_type": asked("IntxWeightOnlyConfig", weight_dtype=dtype)}}
    )
    assert said.said[0].quantized == Quantized("int4")


def test_a_config_a_module_is_read(golden: Path) -> None:
    """Weights may be what any of its configs asks for."""
    both = {"a": asked("Float8WeightOnlyConfig"), "b": asked("Int8WeightOnlyConfig")}
    edit_config(golden, lambda each: each["quantization_config"].update(quant_type=both))
    assert wrong(golden) == {}
    found = inspected(golden)
    config = parse({"quantization_config": {"quant_method": "other"}})
    (note,) = agreement(found.loaded.weights, found.loaded.container, config)
    assert note.kind is Kind.NOTE


# Parts


def test_a_scale_that_is_gone(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", {"0._weight_qdata": ("I8", [4, 4], 16)}, METADATA)
    found = inspected(tmp_path)
    assert [(each.kind, each.where, each.what) for each in found.findings] == [
        (Kind.MISSING, "model.safetensors: 0.weight", "its inner tensors scale are in no file")
    ]


def test_metadata_that_was_stripped(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", PARTS)
    what = "inner tensors that no metadata explains: 0._weight_qdata, 0._weight_scale"
    assert wrong(tmp_path) == {Kind.MISSING: what}


def test_a_plain_tensor_that_is_gone(tmp_path: Path) -> None:
    metadata = {**METADATA, "tensor_names": '["0.weight", "0.bias"]'}
    safetensors(tmp_path / "model.safetensors", PARTS, metadata)
    what = "tensors that the metadata names are in no file: 0.bias"
    assert wrong(tmp_path) == {Kind.MISSING: what}


def sharded(directory: Path, **more: str) -> Path:
    """One weight whose inner tensors lie in two shards."""
    shards = {f"m-0000{n}-of-00002.safetensors": each for n, each in enumerate(PARTS, start=1)}
    for name, part in shards.items():
        safetensors(directory / name, {part: PARTS[part]}, METADATA)
    weight_map = {part: name for name, part in shards.items()}
    content = {"metadata": {}, "weight_map": {**weight_map, **more}}
    (directory / "m.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def test_inner_tensors_in_two_shards(tmp_path: Path) -> None:
    found = inspected(sharded(tmp_path))
    assert found.findings == ()
    (weight,) = found.loaded.weights
    assert (weight.key, weight.subclass, set(weight.parts)) == (
        "0.weight",
        "Int8Tensor",
        {"qdata", "scale"},
    )


def test_one_shard_by_itself_lacks_nothing(tmp_path: Path) -> None:
    name = "m-00001-of-00002.safetensors"
    (found,) = checkpoints(Folder(sharded(tmp_path), ("*",)), table().names, name)
    assert [(each.kind, each.what) for each in found.findings] == [
        (Kind.NOTE, "its inner tensors scale are in no file")
    ]
    (whole,) = checkpoints(Folder(tmp_path, ("*",)), table().names, "m.safetensors.index.json")
    assert (whole.findings, len(whole.loaded.files)) == ((), 2)


# The index


def test_a_shard_that_is_gone(tmp_path: Path) -> None:
    (sharded(tmp_path) / "m-00002-of-00002.safetensors").unlink()
    found = {each.what for each in inspected(tmp_path).findings}
    assert found == {
        "shards that the index names are not there: m-00002-of-00002.safetensors",
        "its inner tensors scale are in no file",
    }


def test_a_shard_of_an_earlier_save(tmp_path: Path) -> None:
    safetensors(sharded(tmp_path) / "m-00003-of-00003.safetensors", {"x": ("I8", [1], 1)})
    what = "shards that the index does not name: m-00003-of-00003.safetensors"
    assert wrong(tmp_path) == {Kind.STALE: what}


def test_keys_that_the_index_has_and_the_shards_have_not(tmp_path: Path) -> None:
    sharded(tmp_path, gone="m-00001-of-00002.safetensors")
    what = "keys that the index names are in no shard: gone"
    assert wrong(tmp_path) == {Kind.MISSING: what}


def test_keys_in_other_shards(tmp_path: Path) -> None:
    first, second = (f"m-0000{n}-of-00002.safetensors" for n in (1, 2))
    sharded(tmp_path, **{"0._weight_qdata": second, "0._weight_scale": first})
    what = "keys lie in another shard than the index says: 0._weight_qdata, 0._weight_scale"
    assert wrong(tmp_path) == {Kind.DISAGREES: what}


def test_two_shards_with_one_key(tmp_path: Path) -> None:
    safetensors(sharded(tmp_path) / "m-00002-of-00002.safetensors", PARTS, METADATA)
    assert wrong(tmp_path) == {Kind.DISAGREES: "two shards hold 0._weight_qdata"}


def test_a_key_that_the_index_does_not_name(tmp_path: Path) -> None:
    safetensors(
        sharded(tmp_path) / "m-00001-of-00002.safetensors",
        {"0._weight_qdata": PARTS["0._weight_qdata"], "extra": ("I8", [1], 1)},
        METADATA,
    )
    what = "keys in the shards that the index does not name: extra"
    assert wrong(tmp_path) == {Kind.DISAGREES: what}


def test_shards_without_an_index(tmp_path: Path) -> None:
    (sharded(tmp_path) / "m.safetensors.index.json").unlink()
    what = "the index of 2 shards is not there; a whole set has 2"
    assert wrong(tmp_path) == {Kind.MISSING: what}


OUTSIDE = ["../secret.bin", "/etc/passwd", "a/b.bin", "..", "", "c:\\x.bin", "a\0b.bin"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_that_leads_outside_is_not_followed(tmp_path: Path, name: str) -> None:
    place = tmp_path / "in"
    place.mkdir()
    archive(tmp_path / "secret.bin", pickled({"w": tensor("p")}), SIZES)
    (place / "m.bin.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    found = inspected(place)
    assert found.findings[0].kind is Kind.HOSTILE
    assert found.findings[0].what.startswith("the index names files outside its folder")
    assert (found.loaded.files, found.bytes_read) == ((), 0)


def test_an_index_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "m.bin.index.json").write_text('{"weight_map": {"a": 1}}')
    assert wrong(tmp_path) == {Kind.DAMAGED: "the index has no readable weight_map"}


# Two formats in one folder


def test_a_stale_safetensors_wins_over_a_newer_pickle(golden: Path) -> None:
    content = {"0.weight": int8("0"), "0.bias": tensor("p")}
    archive(golden / "diffusion_pytorch_model.bin", pickled(content), SIZES)
    found = inspected(golden)
    assert found.loaded.set.name == NAME
    what = f"holds other weights than {NAME}, which wins on load"
    assert [(each.kind, each.where, each.what) for each in found.findings] == [
        (Kind.STALE, "diffusion_pytorch_model.bin", what)
    ]


def test_two_formats_of_one_model_are_no_fault(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", {"w": ("I8", [4, 4], 16)})
    archive(tmp_path / "pytorch_model.bin", pickled({"w": tensor("p")}), {"p": 16})
    assert wrong(tmp_path) == {}
    assert inspected(tmp_path).findings[0].what.startswith("holds weights of the same form")


def test_a_variant_is_no_rival(tmp_path: Path) -> None:
    safetensors(tmp_path / "model.safetensors", {"w": ("I8", [4, 4], 16)})
    safetensors(tmp_path / "model.fp16.safetensors", {"w": ("F16", [4, 4], 32)})
    assert wrong(tmp_path) == {}


def test_shards_of_pickles_alone_need_a_flag(tmp_path: Path) -> None:
    archive(tmp_path / "m-00001-of-00001.bin", pickled({"w": tensor("p")}), {"p": 16})
    content = {"weight_map": {"w": "m-00001-of-00001.bin"}}
    (tmp_path / "m.bin.index.json").write_text(json.dumps(content))
    (note,) = inspected(tmp_path).findings
    assert note.what == "shards of pickles are only found with use_safetensors=False"


def test_a_pipeline_is_its_folders(tmp_path: Path) -> None:
    for name in ("transformer", "vae"):
        (tmp_path / name).mkdir()
        safetensors(tmp_path / name / NAME, {"w": ("I8", [4, 4], 16)})
    (tmp_path / "model_index.json").write_text("{}")
    found = list(checkpoints(Folder(tmp_path), table().names))
    assert [each.name for each in found] == ["transformer", "vae"]


# Much data


LARGE = 12_000_000_000
WEIGHTS = 500


def large_safetensors(path: Path) -> Path:
    each = LARGE // WEIGHTS
    tensors = {f"blocks.{n}._weight_qdata": ("I8", [each], 0) for n in range(WEIGHTS)}

    def spread(header: dict[str, Any]) -> None:
        for number, entry in enumerate(v for k, v in header.items() if k != "__metadata__"):
            entry["data_offsets"] = [number * each, (number + 1) * each]

    safetensors(path, tensors, edit=spread)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + WEIGHTS * each)
    return path


def large_pickle(path: Path) -> Path:
    """A zip archive with holes in place of its storages."""
    each = LARGE // WEIGHTS
    content = {f"blocks.{n}.weight": tensor(str(n), (each,)) for n in range(WEIGHTS)}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled(content))
        target: Any = file
        for number in range(WEIGHTS):
            entry = zipfile.ZipInfo(f"archive/data/{number}")
            entry.CRC, entry.file_size, entry.compress_size = 0, each, each
            entry.header_offset = target.fp.tell()
            target.fp.write(entry.FileHeader(zip64=True))
            target.fp.seek(each, 1)
            target.start_dir = target.fp.tell()
            target.filelist.append(entry)
            target.NameToInfo[entry.filename] = entry
    return path


@pytest.mark.parametrize("make", [large_safetensors, large_pickle])
def test_of_a_large_file_only_the_front_matter_is_read(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    suffix = ".bin" if make is large_pickle else ".safetensors"
    path = make(tmp_path / f"model{suffix}")
    assert path.stat().st_size > LARGE
    tracemalloc.start()
    try:
        found = inspected(tmp_path)
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.loaded.weights) == WEIGHTS
    assert Kind.DAMAGED not in {each.kind for each in found.findings}
    assert found.bytes_read < 300_000
    assert memory < 20_000_000
