"""Hostile and damaged files are told, never run, and cost little."""

import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pickled import Global, Made, Saved, archive, int8, pickled, safetensors, subclass, tensor

from conformance.inspection.findings import Finding, Kind
from conformance.inspection.readers import table
from conformance.inspection.sources import Folder
from conformance.inspection.whole import Checkpoint, checkpoints
from conformance.versions.golden import DIRECTORY

pytestmark = pytest.mark.thorough

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZES = {"0q": 16, "0s": 16, "0z": 4, "p": 16}


def inspected(path: Path) -> Checkpoint:
    (found,) = checkpoints(Folder(path.parent, ("*",)), table().names, path.name)
    return found


def wrong(path: Path) -> list[Finding]:
    return [each for each in inspected(path).findings if each.kind.wrong]


def one(path: Path) -> tuple[Kind, str]:
    (finding,) = wrong(path)
    return finding.kind, finding.what


def saved(path: Path, **more: Any) -> Path:
    content = {"0.weight": int8("0"), "0.bias": tensor("p"), **more}
    return archive(path / "model.bin", pickled(content), SIZES)


def test_a_plain_state_dict_is_innocent(tmp_path: Path) -> None:
    found = inspected(saved(tmp_path))
    assert [each for each in found.findings if each.kind.wrong] == []
    assert [each.subclass for each in found.loaded.weights] == ["", "Int8Tensor"]


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", range(6))
def test_os_system_is_told_and_not_run(tmp_path: Path, protocol: int) -> None:
    ran = tmp_path / "ran"
    content = {"0.weight": Runs(ran)}
    path = archive(tmp_path / "model.bin", pickle.dumps(content, protocol), {})
    found = {each.kind: each.what for each in wrong(path)}
    assert found[Kind.HOSTILE] == f"a plain load would import and may call {os.name}.system"
    assert not ran.exists()
    pickle.loads(pickle.dumps(content, protocol))
    assert ran.exists()


NAMES = [
    ("os", "system"),
    ("builtins", "eval"),
    ("torch.hub", "load"),
    ("torch.storage", "_load_from_bytes"),
    ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ("torch", "load"),
    ("numpy", "load"),
    ("collections", "OrderedDict.__class__"),
    ("torchao_evil", "x"),
    ("", "system"),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_only_exact_names_are_allowed(tmp_path: Path, module: str, name: str) -> None:
    path = saved(tmp_path, extra=Made(Global(module, name), "x"))
    assert one(path) == (Kind.HOSTILE, f"a plain load would import and may call {module}.{name}")


def test_a_name_deep_inside_a_tensor_is_found(tmp_path: Path) -> None:
    deep = Made(Global("builtins", "getattr"), Made(Global("os", "getcwd")), "x")
    content = {"0.weight": int8("0", act_quant_kwargs={"a": [{"b": (deep,)}]}), "0": tensor("p")}
    path = archive(tmp_path / "model.bin", pickled(content), SIZES)
    assert one(path)[1] == "a plain load would import and may call builtins.getattr, os.getcwd"


def test_a_torchao_class_that_is_new_is_no_crime(tmp_path: Path) -> None:
    path = saved(tmp_path, extra=Made(Global("torchao.new", "Thing"), "x"))
    notes = [each.what for each in inspected(path).findings]
    assert notes == ["torchao names that no measured checkpoint has: torchao.new.Thing"]


def by_memo(module: bytes, name: bytes) -> bytes:
    """STACK_GLOBAL whose strings come out of the memo."""
    strings = b"\x8c" + bytes([len(module)]) + module + b"\x94"
    strings += b"\x8c" + bytes([len(name)]) + name + b"\x94"
    return b"\x80\x04" + strings + b"00h\x00h\x01\x93\x8c\x01x\x85R."


def test_a_name_built_from_the_memo_is_found(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.bin", by_memo(b"posix", b"system"), {})
    assert Kind.HOSTILE in {each.kind for each in wrong(path)}
    assert "posix.system" in wrong(path)[0].what


COMPUTED = {
    "a call's result as a name": b"\x80\x04cbuiltins\nchr\nK\x41\x85R\x8c\x01x\x93.",
    "a call of a call": b"\x80\x04cbuiltins\nset\n)R)R.",
    "the extension registry": b"\x80\x02\x82\x01)R.",
}


@pytest.mark.parametrize("content", COMPUTED.values(), ids=COMPUTED)
def test_what_is_only_known_while_it_runs_is_hostile(tmp_path: Path, content: bytes) -> None:
    path = archive(tmp_path / "model.bin", content, {})
    what = "the pickle imports or calls something whose name is only made while it runs"
    assert (Kind.HOSTILE, what) in {(each.kind, each.what) for each in wrong(path)}


def test_instances_and_objects_are_calls(tmp_path: Path) -> None:
    for number, content in enumerate((b"(S'x'\nios\nsystem\n.", b"(cos\nsystem\nS'x'\no.")):
        path = archive(tmp_path / f"{number}.bin", content, {})
        assert wrong(path)[0].what == "a plain load would import and may call os.system"


def test_a_bare_pickle_and_the_older_stream_are_followed(tmp_path: Path) -> None:
    bare = tmp_path / "bare.bin"
    bare.write_bytes(pickled({"x": Made(Global("os", "system"), "x")}))
    assert wrong(bare)[0].kind is Kind.HOSTILE
    older = tmp_path / "older.pt"
    storage = Saved("storage", Global("torch", "FloatStorage"), "1", "cpu", 4, None)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    content = {"w": Made(rebuild, storage, 0, (4,), (1,), False, None)}
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content, ["1"])
    data = b"".join(map(pickled, parts)) + struct.pack("<q", 4) + b"\0" * 16
    older.write_bytes(data)
    assert wrong(older) == []
    assert [each.shape for each in inspected(older).loaded.weights] == [(4,)]
    older.write_bytes(data[:-1])
    assert one(older) == (Kind.DAMAGED, "24 bytes of storages named, 23 there")


# Damage


def test_truncated_everywhere(tmp_path: Path) -> None:
    data = saved(tmp_path).read_bytes()
    for length in range(len(data)):
        path = tmp_path / "cut.bin"
        path.write_bytes(data[:length])
        assert [each.kind for each in wrong(path)] == [Kind.DAMAGED]


def test_a_storage_that_is_not_there_or_of_another_size(tmp_path: Path) -> None:
    content = pickled({"w": tensor("a"), "v": tensor("b")})
    path = archive(tmp_path / "model.bin", content, {"a": 15})
    assert {each.kind: each.what for each in wrong(path)} == {
        Kind.MISSING: "storages that the pickle names are not in the archive: b",
        Kind.DAMAGED: "storage a: 16 bytes named, 15 there",
    }


def test_a_tensor_beyond_its_storage(tmp_path: Path) -> None:
    storage = Saved("storage", Global("torch", "CharStorage"), "p", "cpu", 16)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    content = {"w": Made(rebuild, storage, 1, (4, 4), (4, 1), False, None)}
    path = archive(tmp_path / "model.bin", pickled(content), {"p": 16})
    assert one(path) == (Kind.DAMAGED, "a tensor reaches beyond the end of storage p")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("archive/data.pkl", "w", force_zip64=True) as entry,
    ):
        for _ in range(300):
            entry.write(b"\0" * 2**20)
    (finding,), memory = measured(path)
    assert memory < 20_000_000
    assert finding.what == "its pickle has 314,572,800 bytes, more than 67,108,864"


def test_an_archive_that_lies_about_its_pickle(tmp_path: Path) -> None:
    """The entry says 10 bytes, and unpacks to more: what it says is the end of it."""
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02" + data[data.index(b"PK\x01\x02") + 4 :][:8])
    data[place + 24 : place + 28] = struct.pack("<I", 10)
    path.write_bytes(bytes(data))
    assert {each.kind for each in wrong(path)} <= {Kind.DAMAGED, Kind.MISSING}


def test_entries_that_lead_outside_or_are_packed(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.bin", pickled({"w": tensor("p")}), {"p": 16})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("archive/../../etc/passwd", b"")
    assert one(path)[0] is Kind.HOSTILE
    packed = archive(
        tmp_path / "packed.bin", pickled({"w": tensor("p")}), {"p": 16}, zipfile.ZIP_DEFLATED
    )
    assert one(packed)[1].startswith("entries are compressed, which torch.save never does")


def measured(path: Path) -> tuple[list[Finding], int]:
    """Return what is wrong with a file, and the bytes of memory that it took to find it."""
    tracemalloc.start()
    try:
        return wrong(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMBS = {
    "doubling tuples": b"\x80\x04)\x94" + b"h\x00h\x00\x86\x94q\x000" * 1000 + b"N.",
    "deep tuples": b"\x80\x02" + b"N" + b"\x85" * 100_000 + b".",
    "many objects": b"\x80\x02" + b"}" * 1_100_000 + b".",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "an absurd string": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "an absurd number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "an absurd memo": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
    "a long line": b"c" + b"x" * 1_000_000 + b".",
}


def bombs() -> list[Any]:
    """The one that makes a million objects is slow, since every one of them is traced."""
    slow = {"many objects": pytest.mark.slow}
    return [pytest.param(each, id=name, marks=slow.get(name, ())) for name, each in BOMBS.items()]


@pytest.mark.parametrize("content", bombs())
@pytest.mark.parametrize("bare", [True, False])
def test_a_bomb_costs_little(tmp_path: Path, content: bytes, bare: bool) -> None:
    path = tmp_path / "model.bin"
    if bare:
        path.write_bytes(content)
    else:
        archive(path, content, {})
    found, memory = measured(path)
    assert memory < 300_000_000
    assert {each.kind for each in found} in ({Kind.DAMAGED}, {Kind.MISSING})


def test_the_object_after_the_last_that_is_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conformance.inspection.pickles.OBJECTS", 100)
    path = tmp_path / "model.bin"
    path.write_bytes(b"\x80\x02" + b"}" * 101 + b".")
    assert one(path) == (Kind.DAMAGED, "its pickle makes more than 100 objects")


def test_a_tensor_of_tensors_of_tensors_is_not_walked_twice(tmp_path: Path) -> None:
    """Ten attributes that are one and the same, ten deep: ten thousand million if walked."""
    inner = tensor("p")
    for _ in range(10):
        inner = subclass("torchao.x", "T", (4, 4), **{f"a{n}": inner for n in range(10)})
    path = archive(tmp_path / "model.bin", pickled({"w": inner}), {"p": 16})
    assert one(path) == (Kind.DAMAGED, "a tensor in its pickle has more than 64 parts")


# safetensors


def plain(path: Path, **edits: Any) -> Path:
    return safetensors(
        path / "m.safetensors", {"a": ("I8", [4], 4), "b": ("BF16", [2], 4)}, **edits
    )


def test_a_plain_safetensors_file_is_innocent(tmp_path: Path) -> None:
    assert wrong(plain(tmp_path)) == []


HEADERS = {
    "overlap": (lambda h: h["b"].update(data_offsets=[2, 6]), "overlaps what is before it"),
    "hole": (lambda h: h["b"].update(data_offsets=[8, 12]), "leaves a hole before it"),
    "short": (lambda h: h.pop("b"), "its header names 4 bytes of data, and 8 are there"),
    "shape": (lambda h: h["b"].update(shape=[3]), "BF16 of 3 elements in 4 bytes"),
    "huge": (lambda h: h["b"].update(shape=[2**62] * 9000), "elements in 4 bytes"),
    "negative": (lambda h: h["b"].update(shape=[-2]), "whole numbers from 0 on"),
    "dtype": (lambda h: h["b"].update(dtype="F9"), "its header has a bad entry 'b': 'F9'"),
    "entry": (lambda h: h.update(b=1), "its header has a bad entry 'b'"),
    "metadata": (lambda h: h.update(__metadata__={"x": 1}), "its metadata is not text by name"),
}


@pytest.mark.parametrize(("edit", "what"), HEADERS.values(), ids=HEADERS)
def test_headers_that_lie(tmp_path: Path, edit: Any, what: str) -> None:
    kind, said = one(plain(tmp_path, edit=edit))
    assert kind is Kind.DAMAGED
    assert what in said


RAW = {
    "empty": (b"", "it has 0 bytes; a safetensors file begins with 8"),
    "absurd": (struct.pack("<Q", 2**63) + b"{}", "its header says 9,223,372,036,854,775,808 bytes"),
    "twice": (b'{"a":{},"a":{}}', "its JSON has the name 'a' twice"),
    "list": (b"[]", "its header is no JSON object"),
    "deep": (b"[" * 200_000, "its JSON is nested absurdly deep"),
    "number": (b'{"a":' + b"9" * 5000 + b"}", "its JSON is damaged"),
    "bytes": (b"\xff\xfe", "its JSON is damaged"),
}


@pytest.mark.parametrize(("data", "what"), RAW.values(), ids=RAW)
def test_headers_that_are_none(tmp_path: Path, data: bytes, what: str) -> None:
    path = tmp_path / "m.safetensors"
    whole = data if len(data) < 1 or data.startswith(b"\0") else struct.pack("<Q", len(data)) + data
    path.write_bytes(whole)
    assert one(path)[0] is Kind.DAMAGED
    assert what in one(path)[1]


# Any damage at all

GOLDEN = [
    DIRECTORY / "torchao-0.17" / "flux-tiny.int8wo.quantize_.pickle.cpu",
    DIRECTORY / "torchao-0.18" / "cogvideox-tiny.int8dq.quantize_.pickle.cpu",
    DIRECTORY / "torchao-0.18" / "flux-tiny.int8wo-v2.torchao-config.safetensors.cpu",
]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda path: path.name)
@given(data=st.data())
@settings(MANY, max_examples=150)
def test_no_mutation_makes_it_crash(case: Path, tmp_path: Path, data: st.DataObject) -> None:
    (source,) = (case / "checkpoint").glob("diffusion_pytorch_model.*")
    content = bytearray(source.read_bytes())
    reach = min(len(content), 30_000)
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.one_of(st.integers(0, reach - 1), st.integers(0, len(content) - 1)))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / source.name
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    for each in inspected(path).findings:
        assert "\n" not in each.what


@given(content=st.binary(max_size=200))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_pickle_makes_it_crash(tmp_path: Path, content: bytes) -> None:
    for path in (tmp_path / "bare.bin", tmp_path / "zipped.bin"):
        if path.name == "bare.bin":
            path.write_bytes(b"\x80\x02" + content)
        else:
            archive(path, content, {})
        assert wrong(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(config=JSON, quantization=JSON, index=JSON)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_json_makes_it_crash(tmp_path: Path, config: Any, quantization: Any, index: Any) -> None:
    saved(tmp_path)
    whole = (
        config
        if not isinstance(config, dict)
        else {
            **config,
            "quantization_config": {"quant_method": "torchao", "quant_type": quantization},
        }
    )
    (tmp_path / "config.json").write_text(json.dumps(whole))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert list(checkpoints(Folder(tmp_path), table().names))
