"""Pickles and files of torch.save, written by hand: no torch, and nothing that would be refused."""

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Global:
    """Stands for a class or function by name; pickled as a reference."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Made:
    """Stands for what calling something makes."""

    def __init__(self, function: Global, *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state


class Saved:
    """Stands for a storage."""

    def __init__(self, *what: Any) -> None:
        self.what = what


PurePython: Any = pickle._Pickler


class Pickler(PurePython):  # type: ignore[misc]
    """The Python pickler, taught the three stand-ins."""

    def save(self, thing: Any, save_persistent_id: bool = True) -> None:
        if isinstance(thing, Global):
            self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Made):
            self.save(thing.function)
            self.save(thing.arguments)
            self.write(pickle.REDUCE)
            if thing.state is not None:
                self.save(thing.state)
                self.write(pickle.BUILD)
        else:
            super().save(thing, save_persistent_id)

    def persistent_id(self, thing: Any) -> Any:
        return thing.what if isinstance(thing, Saved) else None


def pickled(thing: Any, protocol: int = 2) -> bytes:
    """Pickle stand-ins; all of them by their names."""
    file = io.BytesIO()
    Pickler(file, protocol).dump(thing)
    return file.getvalue()


def tensor(key: str, shape: tuple[int, ...] = (4, 4), kind: str = "CharStorage") -> Made:
    """A plain tensor as torch.save writes it, of a storage of its size."""
    strides: list[int] = []
    count = step = 1
    for each in reversed(shape):
        strides.insert(0, step)
        step *= each
        count *= each
    storage = Saved("storage", Global("torch", kind), key, "cpu", count)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Made(rebuild, storage, 0, shape, tuple(strides), False, OrderedDict())


def subclass(module: str, name: str, shape: tuple[int, ...], **attributes: Any) -> Made:
    """A tensor subclass as torch.save writes it."""
    kind = Global(module, name)
    dtype = Global("torch", "bfloat16")
    layout, device = Made(Global("torch", "device"), "cpu"), Made(Global("torch", "device"), "cpu")
    given = (kind, dtype, shape, (shape[-1], 1), 0, layout, device, False)
    wrapper = Global("torch._utils", "_rebuild_wrapper_subclass")
    return Made(Global("torch._tensor", "_rebuild_from_type_v2"), wrapper, kind, given, attributes)


def int8(key: str, **more: Any) -> Made:
    """An Int8Tensor as torchao 0.18 writes it."""
    return subclass(
        "torchao.quantization",
        "Int8Tensor",
        (4, 4),
        qdata=tensor(f"{key}q"),
        scale=tensor(f"{key}s", (4, 1), "FloatStorage"),
        block_size=[1, 4],
        zero_point=tensor(f"{key}z", (4, 1)),
        act_quant_kwargs=more.get("act_quant_kwargs"),
        act_quant_scale=None,
        act_quant_zero_point=None,
        act_pre_scale=None,
        reduce_range=False,
    )


def archive(
    path: Path, pickle_: bytes, storages: Mapping[str, int], packed: int = zipfile.ZIP_STORED
) -> Path:
    """Write what torch.save writes: the pickle, and a storage of so many bytes by key."""
    with zipfile.ZipFile(path, "w", packed) as file:
        file.writestr("archive/data.pkl", pickle_)
        file.writestr("archive/version", "3\n")
        for key, count in storages.items():
            file.writestr(f"archive/data/{key}", b"\0" * count)
    return path


def safetensors(
    path: Path,
    tensors: Mapping[str, tuple[str, list[int], int]],
    metadata: Mapping[str, str] | None = None,
    edit: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Path:
    """Write a safetensors file of dtypes, shapes and bytes; `edit` breaks the header."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, (dtype, shape, count) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, place + count]}
        place += count
    edit(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * place)
    return path
