"""Weight files are read without the library that wrote them, and nothing in them is executed."""

import json
import pickle
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from conformance.axes.files import (
    read_dcp,
    read_safetensors,
    read_torch,
    safetensors_header,
    safetensors_metadata,
    safetensors_pieces,
    torch_globals,
    torch_pieces,
)
from conformance.roundtrip.checkpoint import contents

STATE = {"b": torch.arange(6, dtype=torch.int8), "a": torch.ones(2, 3)}


def safetensors(directory: Path, metadata: dict[str, str] | None = None, name: str = "w") -> Path:
    path = directory / f"{name}.safetensors"
    save_file(STATE, path, metadata)
    return path


def by_hand(path: Path, header: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def torch_file(directory: Path, state: Any, name: str = "w.pt") -> Path:
    path = directory / name
    torch.save(state, path)
    return path


def test_the_pieces_of_a_safetensors_file_are_its_tensors(tmp_path: Path) -> None:
    pieces = list(safetensors_pieces(safetensors(tmp_path)))
    assert [(each.name, each.bytes) for each in pieces] == [
        ("w.safetensors/a", 24),
        ("w.safetensors/b", 6),
    ]


@pytest.mark.parametrize("length", [0, 7, 8, 40])
def test_a_header_that_is_cut_off_is_an_error(tmp_path: Path, length: int) -> None:
    path = safetensors(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"w\.safetensors: the header is cut off"):
        safetensors_header(path)


@pytest.mark.parametrize("extra", [-1, 1])
def test_a_size_that_contradicts_the_header_is_an_error(tmp_path: Path, extra: int) -> None:
    path = safetensors(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data + b"x" if extra > 0 else data[:-1])
    with pytest.raises(ValueError, match=f"{len(data) + extra} bytes, its header says {len(data)}"):
        list(safetensors_pieces(path))


def test_equal_bytes_of_another_dtype_or_shape_have_another_digest(tmp_path: Path) -> None:
    digests = {
        next(safetensors_pieces(by_hand(tmp_path / "x.safetensors", header, b"abcd"))).digest
        for header in (
            {"x": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}},
            {"x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}},
            {"x": {"dtype": "I8", "shape": [2, 2], "data_offsets": [0, 4]}},
        )
    }
    assert len(digests) == 3


def test_one_bit_gives_another_digest(tmp_path: Path) -> None:
    path = safetensors(tmp_path)
    before = read_safetensors(tmp_path).digests
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    after = read_safetensors(tmp_path).digests
    assert {name for name in before if before[name] != after[name]} == {"w.safetensors/b"}


def test_metadata_is_equal_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    left = safetensors(tmp_path, {"x": '{"a": 1, "b": [2, 1]}', "y": "plain text"})
    first = safetensors_metadata(left)
    second = safetensors_metadata(
        safetensors(tmp_path, {"y": "plain text", "x": '{"b":[2,1],"a":1}'})
    )
    assert first == second
    assert first["w.safetensors#y"] == "plain text"


def test_metadata_differs_where_a_list_has_another_order(tmp_path: Path) -> None:
    first = safetensors_metadata(safetensors(tmp_path, {"x": "[2, 1]"}))
    assert first != safetensors_metadata(safetensors(tmp_path, {"x": "[1, 2]"}))


def test_the_pieces_of_a_torch_file_are_its_storages(tmp_path: Path) -> None:
    torch_file(tmp_path, {"x": STATE["b"], "same memory": STATE["b"][2:], "y": STATE["a"]})
    contents = read_torch(tmp_path)
    assert [each.bytes for each in contents.pieces] == [6, 24]
    assert contents.payload == 30


def test_equal_states_have_equal_contents(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for directory in (first, second):
        directory.mkdir()
        torch_file(directory, STATE)
    assert read_torch(first) == read_torch(second)


def test_globals_name_the_classes_that_a_pickle_would_import(tmp_path: Path) -> None:
    path = torch_file(tmp_path, {"x": STATE["a"], "size": torch.Size([1])})
    assert torch_globals(path).split() == [
        "collections.OrderedDict",
        "torch.FloatStorage",
        "torch.Size",
        "torch._utils._rebuild_tensor_v2",
    ]


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "sprung")


def trapped(directory: Path, target: Path) -> Path:
    path = directory / "w.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", pickle.dumps(Trap(target), protocol=2))
    return path


def test_a_hostile_pickle_is_read_and_not_executed(tmp_path: Path) -> None:
    target = tmp_path / "sprung"
    trapped(tmp_path, target)
    assert "Path" in read_torch(tmp_path).notes["w.pt#globals"]
    assert not target.exists()


def test_the_trap_would_have_sprung(tmp_path: Path) -> None:
    target = tmp_path / "sprung"
    with zipfile.ZipFile(trapped(tmp_path, target)) as archive:
        pickle.loads(archive.read("w/data.pkl"))
    assert target.exists()


def test_a_changed_entry_with_its_old_checksum_is_an_error(tmp_path: Path) -> None:
    path = torch_file(tmp_path, STATE)
    data = path.read_bytes()
    at = data.index(bytes(range(6)))
    path.write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_torch(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("not json")
    assert read_torch(tmp_path) == read_safetensors(tmp_path)
    assert not read_torch(tmp_path).pieces


# Damaged and hostile files


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**26))
        archive.writestr("a/data/0", bytes(2**26))
    for read in (lambda each: list(torch_pieces(each)), torch_globals):
        with pytest.raises(ValueError, match="is compressed, which"):
            read(path)


HEADERS = {
    "a list": b"[]",
    "no offsets": b'{"a":{"dtype":"U8"}}',
    "offsets of text": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":["0","1"]}}',
    "backwards": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}',
    "below zero": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,1]}}',
    "no entry": b'{"a":7}',
    "deep": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_makes_no_sense_is_one_error(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"x")
    with pytest.raises(ValueError, match=r"^m\.safetensors: "):
        list(safetensors_pieces(path))


def test_metadata_that_is_no_object_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = b'{"__metadata__":[1]}'
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ValueError, match="damaged"):
        safetensors_metadata(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_whatever_is_in_a_file_is_contents_or_a_value_error(data: st.DataObject) -> None:
    """The reader of a record meets files that nobody has looked at."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / data.draw(st.sampled_from(["m.bin", "m.safetensors"]))
        path.write_bytes(data.draw(st.binary(max_size=200)))
        if path.suffix == ".bin":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a/data.pkl", data.draw(st.binary(max_size=50)))
                archive.writestr("a/data/0", b"1234")
            content = bytearray(path.read_bytes())
            for _ in range(data.draw(st.integers(0, 4))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
                    st.integers(0, 255)
                )
            path.write_bytes(bytes(content))
        with suppress(ValueError):
            contents((path,))


# Distributed checkpoints: archives one behind another.


def distributed(directory: Path, *states: Any, between: bytes = b"") -> Path:
    parts = [torch_file(directory, state, f"{n}.pt").read_bytes() for n, state in enumerate(states)]
    for path in directory.glob("*.pt"):
        path.unlink()
    path = directory / "__0_0.distcp"
    path.write_bytes(between.join(parts))
    return path


def test_every_archive_of_a_distributed_checkpoint_is_read(tmp_path: Path) -> None:
    distributed(tmp_path, STATE["b"], STATE["a"])
    found = read_dcp(tmp_path)
    assert [(each.name, each.bytes) for each in found.pieces] == [
        ("__0_0.distcp/0/data/0", 6),
        ("__0_0.distcp/1/data/0", 24),
    ]
    assert found.payload == 30
    assert "torch._utils._rebuild_tensor_v2" in found.notes["__0_0.distcp/1#globals"]


def test_they_are_told_apart_by_content(tmp_path: Path) -> None:
    distributed(tmp_path, STATE["a"], STATE["a"] + 1)
    first, second = read_dcp(tmp_path).pieces
    assert first.digest != second.digest


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.99])
def test_a_distributed_checkpoint_that_is_cut_off_is_an_error(tmp_path: Path, cut: float) -> None:
    path = distributed(tmp_path, STATE["a"], STATE["b"])
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))])
    with pytest.raises(ValueError, match="damaged"):
        read_dcp(tmp_path)


def test_what_lies_before_the_first_archive_is_an_error(tmp_path: Path) -> None:
    path = distributed(tmp_path, STATE["a"])
    path.write_bytes(b"x" * 100 + path.read_bytes())
    with pytest.raises(ValueError, match="damaged"):
        read_dcp(tmp_path)


def test_no_file_is_no_contents(tmp_path: Path) -> None:
    assert read_dcp(tmp_path).digests == {}
