"""Weight files are read without the library that wrote them, and nothing in them is executed."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from conformance.axes.files import (
    read_safetensors,
    read_torch,
    safetensors_header,
    safetensors_metadata,
    safetensors_pieces,
    torch_globals,
)

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
    with pytest.raises(zipfile.BadZipFile, match="Bad CRC-32"):
        read_torch(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("not json")
    assert read_torch(tmp_path) == read_safetensors(tmp_path)
    assert not read_torch(tmp_path).pieces
