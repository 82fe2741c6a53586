"""Mutations of safetensors files that know the format: metadata, names, dtypes, shapes, lengths."""

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from conformance.damage.mutation import Files, Kind, Mutation, edited, slug
from conformance.damage.regions import is_safetensors

METADATA = "__metadata__"
Header = dict[str, Any]
Change = Callable[[Header], Any]

OTHER_DTYPES = {
    "I8": ("U8", "F8_E4M3", "I16"),
    "U8": ("I8", "BOOL", "U16"),
    "BF16": ("F16", "I16", "F32"),
    "F16": ("BF16", "F32"),
    "F32": ("I32", "BF16", "F64"),
    "F8_E4M3": ("F8_E5M2", "I8"),
}
"""The same bytes read otherwise, and one width that contradicts them."""
LENGTHS = (0, 1, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
SIZES = (2**31, 2**62, -1)


def parse(data: bytes) -> tuple[Header, bytes]:
    """Return the header and the bytes behind it, of an undamaged file."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def build(header: Header, payload: bytes) -> bytes:
    """Return a file as safetensors writes it: compact JSON, padded to 8 bytes."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def canonical(data: bytes) -> bytes:
    """Return the same contents with the metadata in order, which safetensors writes in none.

    Otherwise a seed would not say what is damaged.
    """
    header, payload = parse(data)
    metadata = header.get(METADATA, {})
    ordered = {key: _sorted_names(metadata[key]) for key in sorted(metadata)}
    return build({**header, METADATA: ordered} if METADATA in header else header, payload)


def _sorted_names(text: str) -> str:
    """Sort what torchao made of a set: the names of inner tensors."""
    try:
        said = json.loads(text)
    except ValueError:
        return text
    if isinstance(said, dict) and "_tensor_data_names" in said:
        said["_tensor_data_names"] = sorted(said["_tensor_data_names"])
    elif isinstance(said, list):
        said = sorted(said)
    return json.dumps(said)


def mutations(files: Files) -> Iterator[Mutation]:
    """Yield every mutation of every safetensors file."""
    for name, data in files.items():
        if is_safetensors(name):
            header, payload = parse(data)
            for kind, what, change in (*_of_metadata(header), *_of_tensors(header)):
                yield Mutation(kind, f"{slug(name)}:{slug(what)}", edited(name, _with(change)))
            yield from _of_lengths(name, len(data), len(payload))


def _with(change: Change) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        header, payload = parse(data)
        change(header)
        return build(header, payload)

    return apply


Edit = tuple[Kind, str, Change]


def _of_metadata(header: Header) -> Iterator[Edit]:
    metadata = header.get(METADATA)
    if not metadata:
        return
    yield Kind.METADATA_STRIPPED, "all", partial(_drop, METADATA)
    yield Kind.METADATA_STRIPPED, "emptied", partial(_put, METADATA, {})
    for key, text in metadata.items():
        yield Kind.METADATA_STRIPPED, key, partial(_entry, key, None)
        for what, edited_text in _texts(text):
            yield Kind.METADATA_EDITED, f"{what}={key}", partial(_entry, key, edited_text)


def _texts(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a metadata value may have become."""
    yield "cut", text[: len(text) // 2]
    for what, before, after in (
        ("another-class", '"Int8Tensor"', '"Float8Tensor"'),
        ("a-plain-tensor", '"Int8Tensor"', '"Tensor"'),
        ("no-such-class", '"Int8Tensor"', '"Int9Tensor"'),
        ("another-block", '"block_size": [1, ', '"block_size": [2, '),
        ("another-dtype", '"bfloat16"', '"float32"'),
        ("one-part-less", '"qdata", ', ""),
        ("a-class-for-a-tensor", '{"_type": "Tensor"}', '{"_type": "Int8Tensor"}'),
    ):
        if before in text:
            yield what, text.replace(before, after)


def _of_tensors(header: Header) -> Iterator[Edit]:
    entries = {key: entry for key, entry in header.items() if key != METADATA}
    likes: dict[str, str] = {}
    for key, entry in entries.items():
        yield Kind.KEY_RENAMED, key, partial(_rename, key, f"{key}_")
        yield Kind.KEY_DROPPED, key, partial(_drop, key)
        like = f"{entry['dtype']}{entry['shape']}"
        if like in likes:
            yield Kind.KEYS_SWAPPED, key, partial(_swap, key, likes[like])
        likes[like] = key
        for dtype in OTHER_DTYPES.get(entry["dtype"], ("U8",)):
            yield Kind.DTYPE_EDITED, f"{dtype}={key}", partial(_set, key, "dtype", dtype)
        for what, shape in _shapes(entry["shape"]):
            yield Kind.SHAPE_EDITED, f"{what}={key}", partial(_set, key, "shape", shape)
        for size in SIZES:
            absurd = [size, *entry["shape"][1:]]
            yield Kind.ABSURD, f"size{size}={key}", partial(_set, key, "shape", absurd)
        reach = [entry["data_offsets"][0], 2**62]
        yield Kind.ABSURD, f"reach={key}", partial(_set, key, "data_offsets", reach)


def _shapes(shape: list[int]) -> Iterator[tuple[str, list[int]]]:
    if shape[::-1] != shape:
        yield "turned", shape[::-1]
    if len(shape) > 1:
        yield "flat", [_product(shape)]
        if shape[0] % 2 == 0:
            yield "halved", [shape[0] // 2, shape[1] * 2, *shape[2:]]
    yield "one-more", [*shape, 1]
    yield "larger", [shape[0] + 1, *shape[1:]] if shape else [2]


def _product(shape: list[int]) -> int:
    found = 1
    for each in shape:
        found *= each
    return found


def _of_lengths(name: str, size: int, payload: int) -> Iterator[Mutation]:
    length = size - payload - 8
    for absurd in {*LENGTHS, length - 1, length + 1, size - 8, size - 7} - {length}:
        change = edited(name, partial(_length, absurd))
        yield Mutation(Kind.ABSURD, f"{slug(name)}:header-of-{absurd}", change)
    for what, header in (
        ("nested", b'{"a":' * 100_000),
        ("twice", b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' * 2),
        ("a-long-number", b'{"a":' + b"9" * 100_000 + b"}"),
    ):
        change = edited(name, partial(_header, header))
        yield Mutation(Kind.ABSURD, f"{slug(name)}:header-{what}", change)


def _length(length: int, data: bytes) -> bytes:
    return struct.pack("<Q", length) + data[8:]


def _header(header: bytes, data: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + parse(data)[1]


def _drop(key: str, header: Header) -> None:
    del header[key]


def _put(key: str, value: object, header: Header) -> None:
    header[key] = value


def _entry(key: str, text: str | None, header: Header) -> None:
    if text is None:
        del header[METADATA][key]
    else:
        header[METADATA][key] = text


def _rename(old: str, new: str, header: Header) -> None:
    header[new] = header.pop(old)


def _swap(left: str, right: str, header: Header) -> None:
    header[left], header[right] = header[right], header[left]


def _set(key: str, field: str, value: object, header: Header) -> None:
    header[key] = {**header[key], field: value}
