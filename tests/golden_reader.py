"""An independent reader of golden files: safetensors, NumPy and `pickletools`, no torch.

It shares no code with the suite. From a checkpoint's own files it takes every run of bytes that the
record names, and compares digests. What torchao's classes mean is not asked: a pickle is read as a
list of opcodes, of which only the storages and how tensors are cut out of them are understood.
"""

import json
import pickletools
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

WIDTHS = {
    "ByteStorage": 1,
    "CharStorage": 1,
    "BoolStorage": 1,
    "HalfStorage": 2,
    "ShortStorage": 2,
    "BFloat16Storage": 2,
    "IntStorage": 4,
    "FloatStorage": 4,
    "LongStorage": 8,
    "DoubleStorage": 8,
    "UntypedStorage": 1,
}
"""Bytes of an element by the class that a pickle names before the number of a storage."""


def content(data: bytes) -> str:
    """Return the digest that records use."""
    return xxhash.xxh3_128_hexdigest(data)


def recorded(directory: Path) -> "Counter[str]":
    """Count the digests that a record names for what its state dict holds."""
    record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
    return Counter(
        inner["digest"]
        for tensor in record["facts"]["tensors"].values()
        if tensor["kind"] != "non-persistent buffer"
        for inner in tensor["inner"].values()
    )


def held(directory: Path) -> "Counter[str]":
    """Count the digests of what the files of a checkpoint hold."""
    found: Counter[str] = Counter()
    for path in sorted((directory / "checkpoint").iterdir()):
        if path.suffix == ".safetensors":
            found.update(content(data) for data in safetensors_runs(path))
        elif path.suffix in (".bin", ".pt"):
            found.update(content(data) for data in pickle_runs(path))
    return found


def safetensors_runs(path: Path) -> Iterator[bytes]:
    """Yield the bytes of every tensor of a safetensors file."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            yield data[start + first : start + last]


def pickle_runs(path: Path) -> Iterator[bytes]:
    """Yield the bytes of every tensor of a file of `torch.save`, in row-major order."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith("/data.pkl")]
        root = name.removesuffix("data.pkl")
        for storage, width, offset, shape, strides in tensors(archive.read(name)):
            data = archive.read(f"{root}data/{storage}")
            yield cut(data, width, offset, shape, strides)


def cut(data: bytes, width: int, offset: int, shape: Any, strides: Any) -> bytes:
    """Return the elements of a view of a storage in row-major order."""
    elements = np.frombuffer(data, dtype=np.dtype((np.void, width)))[offset:]
    steps = tuple(step * width for step in strides)
    return np.lib.stride_tricks.as_strided(elements, shape, steps).tobytes()


def tensors(pickled: bytes) -> Iterator[tuple[str, int, int, Any, Any]]:
    """Yield `(storage, bytes of an element, offset, shape, strides)` of every tensor.

    A tensor is `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`; the storage is the
    persistent id `("storage", class, number, device, elements)`. The stack of the pickle machine is
    followed for constants, tuples and memos; everything else on it is a name or unknown.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, given, _ in pickletools.genops(pickled):
        argument: Any = given
        match opcode.name:
            case "MARK" | "EMPTY_TUPLE" | "EMPTY_DICT" | "EMPTY_LIST" | "NONE":
                stack.append({"MARK": "<mark>", "EMPTY_TUPLE": ()}.get(opcode.name))
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                mark = _mark(stack)
                stack[mark:] = [tuple(stack[mark + 1 :])]
            case "SETITEMS" | "APPENDS":
                del stack[_mark(stack) :]
            case "SETITEM":
                del stack[-2:]
            case "APPEND" | "BUILD":
                del stack[-1:]
            case "GLOBAL":
                stack.append(argument.split(" ")[-1])
            case "BINPERSID":
                stack[-1] = tuple(stack[-1])
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(None)
                if function in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
                    kind, number = arguments[0][1:3]
                    yield (number, _width(kind, arguments), *arguments[1:4])
                elif function == "Size" or function == "_rebuild_parameter":
                    stack[-1] = arguments[0]
            case "PROTO" | "STOP":
                pass
            case _:
                stack.append(argument)


def _mark(stack: list[Any]) -> int:
    return len(stack) - 1 - stack[::-1].index("<mark>")


def _width(kind: str, arguments: Any) -> int:
    """Return the bytes of an element; an untyped storage has its dtype among the arguments."""
    typed = [WIDTHS[f"{each}Storage"] for each in arguments if f"{each}Storage" in WIDTHS]
    return typed[0] if typed else WIDTHS[kind]


def check(directory: Path) -> list[str]:
    """Name the recorded digests that the checkpoint's files do not hold."""
    return sorted((recorded(directory) - held(directory)).elements())
