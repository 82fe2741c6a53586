"""Mutations: pure, seeded, each a real change, and of every kind where there can be one."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pickled import int8, pickled, tensor

from conformance.damage import archives, bytewise, configs, executes, shards, tensorfiles
from conformance.damage.mutation import Files, Kind, Mutation, flipped, slug
from conformance.damage.plan import by_kind, plan, sample
from conformance.damage.regions import Part, boundaries, is_archive, regions

INT8 = '{"_type": "Int8Tensor", "_data": {"block_size": [1, 4]}, "_tensor_data_names": ["qdata"]}'


def safetensors_file(fill: int = 0) -> bytes:
    header = {
        "__metadata__": {"0.weight": INT8, "0.bias": '{"_type": "Tensor"}'},
        "0._weight_qdata": {"dtype": "I8", "shape": [4, 2], "data_offsets": [0, 8]},
        "1._weight_qdata": {"dtype": "I8", "shape": [4, 2], "data_offsets": [8, 16]},
        "0.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
    }
    return tensorfiles.build(header, bytes((fill + each) % 256 for each in range(24)))


def torch_file(fill: int = 0) -> bytes:
    content = pickled({"0.weight": int8("0"), "0.bias": tensor("p"), "1.bias": tensor("q")})
    storages = {f"a/data/{key}": bytes([fill + n]) * 16 for n, key in enumerate("pq")}
    return archives.packed({"a/data.pkl": content, "a/version": b"3\n", **storages})


def config_file() -> bytes:
    return json.dumps({"_class_name": "X", "n": 2, "q": {"a": None, "b": [True]}}).encode()


def sharded(fill: int = 0) -> Files:
    names = [f"m-{n}.safetensors" for n in range(3)]
    mapped = {f"{n}.weight": name for n, name in enumerate(names)}
    index = json.dumps({"metadata": {"total_size": 3}, "weight_map": mapped}).encode()
    files = {name: safetensors_file(fill + n) for n, name in enumerate(names)}
    return {**files, "m.safetensors.index.json": index, "config.json": config_file()}


CHECKPOINTS: dict[str, tuple[Files, Files]] = {
    "safetensors": (
        {"config.json": config_file(), "m.safetensors": safetensors_file()},
        {"config.json": config_file(), "m.safetensors": safetensors_file(99)},
    ),
    "sharded": (sharded(), sharded(99)),
    "torch": ({"m.bin": torch_file()}, {"m.bin": torch_file(99)}),
    "unknown": ({"m.xyz": bytes(range(100))}, {"m.xyz": bytes(100)}),
}
each_checkpoint = pytest.mark.parametrize("name", CHECKPOINTS)
PLANS = {name: plan(*files, seed=0) for name, files in CHECKPOINTS.items()}


@each_checkpoint
def test_there_are_five_hundred_of_different_names(name: str) -> None:
    ids = [each.id for each in PLANS[name]]
    assert len(set(ids)) == len(ids) >= 500


@each_checkpoint
def test_each_is_a_real_change_and_leaves_the_checkpoint_alone(name: str) -> None:
    files, _ = CHECKPOINTS[name]
    before = dict(files)
    for each in PLANS[name]:
        assert each.apply(files) != files, each
        assert files == before


@each_checkpoint
def test_a_seed_says_what_they_are(name: str) -> None:
    files, stale = CHECKPOINTS[name]
    again, other = plan(files, stale, seed=0), plan(files, stale, seed=1)
    assert again == PLANS[name]
    assert other != PLANS[name]
    for ours, theirs in zip(PLANS[name][:40], again[:40], strict=True):
        assert ours.apply(files) == theirs.apply(files)


OF_ALL = {Kind.TRUNCATED, Kind.PAYLOAD_BIT, Kind.ANYWHERE}
OF_CONFIG = {Kind.CONFIG_MISSING, Kind.CONFIG_EDITED, Kind.METADATA_BIT}
OF_TENSORS = {Kind.KEY_RENAMED, Kind.KEY_DROPPED, Kind.KEYS_SWAPPED, Kind.SHAPE_EDITED}
OF_BOTH = OF_ALL | OF_TENSORS | {Kind.HEADER_BIT, Kind.METADATA_EDITED, Kind.DTYPE_EDITED}
OF_BOTH = OF_BOTH | {Kind.METADATA_BIT, Kind.ABSURD}
OF_SAFETENSORS = {Kind.METADATA_STRIPPED, Kind.EXECUTES}
OF_SHARDS = {
    Kind.SHARD_MISSING,
    Kind.SHARDS_SWAPPED,
    Kind.SHARD_DUPLICATED,
    Kind.SHARD_STALE,
    Kind.INDEX,
}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("safetensors", OF_BOTH | OF_CONFIG | OF_SAFETENSORS),
        ("sharded", OF_BOTH | OF_CONFIG | OF_SAFETENSORS | OF_SHARDS),
        ("torch", OF_BOTH | {Kind.PAYLOAD_REWRITTEN, Kind.BOMB, Kind.EXECUTES}),
        ("unknown", OF_ALL),
    ],
)
def test_every_kind_that_there_can_be_is_there(name: str, kinds: set[Kind]) -> None:
    assert {each.kind for each in PLANS[name]} == kinds


def test_every_kind_is_used() -> None:
    assert {each.kind for found in PLANS.values() for each in found} == set(Kind)


# Regions


@each_checkpoint
def test_regions_cover_a_file_without_holes(name: str) -> None:
    for file, data in CHECKPOINTS[name][0].items():
        end = 0
        for each in regions(file, data):
            assert each.start == end
            end = each.end
        assert end == len(data)


def test_regions_of_a_safetensors_file_are_what_they_say() -> None:
    data = safetensors_file()
    found = regions("m.safetensors", data)
    (metadata,) = [each for each in found if each.part is Part.METADATA]
    assert set(json.loads(data[metadata.start : metadata.end])) == {"0.weight", "0.bias"}
    payload = [data[each.start : each.end] for each in found if each.part is Part.PAYLOAD]
    assert payload == [bytes(range(8)), bytes(range(8, 16)), bytes(range(16, 24))]


def test_regions_of_an_archive_are_what_they_say() -> None:
    data = torch_file(7)
    found = regions("m.bin", data)
    payload = [data[each.start : each.end] for each in found if each.part is Part.PAYLOAD]
    assert payload == [b"\x07" * 16, b"\x08" * 16]
    (metadata,) = [each for each in found if each.part is Part.METADATA]
    assert data[metadata.start : metadata.end] == archives.entries(data)["a/data.pkl"]


@each_checkpoint
def test_every_boundary_is_cut(name: str) -> None:
    files, _ = CHECKPOINTS[name]
    cuts = {
        (file, len(each.apply(files)[file]))
        for file in files
        for each in PLANS[name]
        if each.kind is Kind.TRUNCATED and each.name.startswith(f"{file}@")
    }
    wanted = {(file, length) for file, data in files.items() for length in boundaries(file, data)}
    assert wanted <= cuts


# What each kind does


def applied(files: Files, mutations: object, kind: Kind, part: str) -> Files:
    """Apply the one mutation of a kind whose name has this part."""
    found = [each for each in PLANS[str(mutations)] if each.kind is kind and part in each.name]
    assert found, (kind, part)
    return found[0].apply(files)


def header_after(kind: Kind, part: str) -> dict[str, object]:
    files = CHECKPOINTS["safetensors"][0]
    header, payload = tensorfiles.parse(applied(files, "safetensors", kind, part)["m.safetensors"])
    assert payload == bytes(range(24))
    return header


def test_safetensors_headers_are_edited() -> None:
    before, _ = tensorfiles.parse(safetensors_file())
    assert "__metadata__" not in header_after(Kind.METADATA_STRIPPED, ":all")
    assert header_after(Kind.KEY_DROPPED, "0.bias").keys() == before.keys() - {"0.bias"}
    assert "0.bias_" in header_after(Kind.KEY_RENAMED, "0.bias")
    turned = header_after(Kind.SHAPE_EDITED, "turned=0.")
    assert turned["0._weight_qdata"] == {**before["0._weight_qdata"], "shape": [2, 4]}
    swapped = header_after(Kind.KEYS_SWAPPED, "")
    assert swapped["0._weight_qdata"] == before["1._weight_qdata"]
    dtype = header_after(Kind.DTYPE_EDITED, "U8=0")
    assert dtype["0._weight_qdata"] == {**before["0._weight_qdata"], "dtype": "U8"}
    edited = header_after(Kind.METADATA_EDITED, "no-such-class")
    assert "Int9Tensor" in str(edited["__metadata__"])


def test_an_archive_stays_one_that_torch_could_have_written() -> None:
    files = CHECKPOINTS["torch"][0]
    for kind in (Kind.PAYLOAD_REWRITTEN, Kind.KEY_RENAMED, Kind.DTYPE_EDITED):
        data = applied(files, "torch", kind, "")["m.bin"]
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            for entry in archive.infolist():
                header = data[entry.header_offset + 26 : entry.header_offset + 30]
                start = entry.header_offset + 30 + sum(struct.unpack("<HH", header))
                assert start % archives.ALIGNMENT == 0


def test_a_bomb_is_small_and_unpacks_to_much() -> None:
    data = applied(CHECKPOINTS["torch"][0], "torch", Kind.BOMB, "zeros=")["m.bin"]
    assert len(data) < 2_000_000
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert max(each.file_size for each in archive.infolist()) > archives.BOMB


def test_shards_are_swapped_copied_and_stale() -> None:
    files, stale = CHECKPOINTS["sharded"]
    one, two = "m-0.safetensors", "m-1.safetensors"
    swapped = applied(files, "sharded", Kind.SHARDS_SWAPPED, one)
    assert (swapped[one], swapped[two]) == (files[two], files[one])
    assert applied(files, "sharded", Kind.SHARD_DUPLICATED, one)[two] == files[one]
    assert applied(files, "sharded", Kind.SHARD_STALE, one)[one] == stale[one]
    assert one not in applied(files, "sharded", Kind.SHARD_MISSING, one)
    above = applied(files, "sharded", Kind.INDEX, "points-to-above")
    assert "../m-0.safetensors" in above["m.safetensors.index.json"].decode()


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_flipped_bit_is_one_bit(data: bytes, draw: st.DataObject) -> None:
    place, bit = draw.draw(st.integers(0, len(data) - 1)), draw.draw(st.integers(0, 7))
    there = flipped(data, place, bit)
    assert sum((a ^ b).bit_count() for a, b in zip(data, there, strict=True)) == 1
    assert flipped(there, place, bit) == data


@given(st.integers(0, 2**32))
def test_bits_fall_where_they_should(seed: int) -> None:
    files = CHECKPOINTS["torch"][0]
    for part in Part:
        (each,) = islice(bytewise.bits(files, Random(seed), part), 1)
        before, after = files["m.bin"], each.apply(files)["m.bin"]
        (place,) = [
            n for n, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1
        ]
        (region,) = [r for r in regions("m.bin", before) if r.start <= place < r.end]
        assert region.part is part


def test_what_has_no_such_part_gets_none() -> None:
    assert list(islice(bytewise.bits({"m.xyz": b"1"}, Random(0), Part.HEADER), 3)) == []
    assert list(configs.mutations({"m.xyz": b"1"})) == []
    assert list(shards.mutations({"m.xyz": b"1"}, {}, Random(0))) == []
    assert not is_archive(b"PK not one")


# Pickles that execute something


def plainly_loaded(pickled: bytes, mark: Path) -> object:
    """Load a pickle as nobody should, in a process of its own, and return what it was loaded to."""
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    variables = {**os.environ, executes.RAN: str(mark)}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, input=pickled, env=variables, check=True, capture_output=True)
    return ended.stdout.decode().strip()


@pytest.mark.parametrize("what", executes.PAYLOADS)
def test_a_payload_is_executed_by_a_plain_load(what: str, tmp_path: Path) -> None:
    payload = executes.PAYLOADS[what]
    plainly_loaded(executes.alone(payload), tmp_path / "alone")
    innocent = pickle.dumps({"w": [1, 2]}, 2)
    hidden = executes.before(payload, innocent)
    assert plainly_loaded(hidden, tmp_path / "hidden") == "{'w': [1, 2]}"
    assert {each.name for each in tmp_path.iterdir()} == {"alone", "hidden"}


def test_an_innocent_pickle_leaves_no_mark(tmp_path: Path) -> None:
    assert plainly_loaded(pickle.dumps({"w": 1}, 2), tmp_path / "mark") == "{'w': 1}"
    assert not list(tmp_path.iterdir())


def test_they_lie_in_every_archive_or_beside_safetensors() -> None:
    ways = {
        name: {each.name.partition("-")[0].rpartition(":")[2] for each in found}
        for name, found in ((name, by_kind(those)[Kind.EXECUTES]) for name, those in PLANS.items())
    }
    assert ways == {
        "safetensors": {"beside", "instead"},
        "sharded": {"beside", "instead"},
        "torch": {"alone", "before", "bare"},
        "unknown": set(),
    }


# Samples


@given(st.integers(1, 120), st.integers(0, 5))
def test_a_sample_takes_kinds_in_turn(count: int, seed: int) -> None:
    found = sample(PLANS["sharded"], count, seed)
    assert len({each.id for each in found}) == len(found) == count
    counts = Counter(each.kind for each in found)
    available = {kind: len(those) for kind, those in by_kind(PLANS["sharded"]).items()}
    least = min(counts.get(kind, 0) for kind in Kind if available[kind] > max(counts.values()))
    assert max(counts.values()) - least <= 1


def test_a_sample_of_more_than_there_is_is_all() -> None:
    assert {each.id for each in sample(PLANS["torch"], 10**6, 0)} == {
        each.id for each in PLANS["torch"]
    }
    assert sample([], 3, 0) == []


@given(st.text(max_size=100))
def test_a_name_is_one_word_of_a_glob(text: str) -> None:
    assert not set(slug(text)) & set(" *?[]'\"`/\n$;|&<>")


def test_canonical_is_the_same_whatever_the_order() -> None:
    data = safetensors_file()
    header, payload = tensorfiles.parse(data)
    metadata = header.pop("__metadata__")
    other = {"__metadata__": dict(reversed(metadata.items())), **header}
    assert tensorfiles.build(other, payload) != data
    first, second = (
        tensorfiles.canonical(each) for each in (data, tensorfiles.build(other, payload))
    )
    assert first == second
    assert tensorfiles.parse(first)[1] == payload


def test_mutations_are_told_by_kind_and_name() -> None:
    assert Mutation(Kind.BOMB, "x", dict).id == "bomb/x"
