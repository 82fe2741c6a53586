"""Headers of safetensors files, checked as the format asks, and what torchao writes into them."""

import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.reading import Meter, Unreadable
from conformance.inspection.weights import Container, File, Part, Weight

HEADER = 32 * 2**20
"""Bytes of a header; 20,000 quantized weights need 10 MB, and the format allows 100 MB."""
DTYPES = {
    "BOOL": ("bool", 8),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "U16": ("uint16", 16),
    "I16": ("int16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "U32": ("uint32", 32),
    "I32": ("int32", 32),
    "F32": ("float32", 32),
    "U64": ("uint64", 64),
    "I64": ("int64", 64),
    "F64": ("float64", 64),
    "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "F8_E8M0": ("float8_e8m0fnu", 8),
    "F4": ("float4_e2m1fn_x2", 4),
    "F6_E2M3": ("float6_e2m3fn", 6),
    "F6_E3M2": ("float6_e3m2fn", 6),
}
"""Name and bits of an element, by the format's dtype."""
PLAIN = ("Tensor", "torch.Tensor")
AGAIN = "take the file from its source again"


def read(name: str, meter: Meter) -> File:
    """Read a safetensors file's header.

    Raises:
        Unreadable: it has none that can be read.
    """
    header, start = _header(meter)
    metadata = header.pop("__metadata__", {})
    found: list[Finding] = []
    parts, spans = _parts(header)
    found += _spans(name, spans, meter.size - start)
    described = {}
    if not _is_text(metadata):
        found.append(Finding(Kind.DAMAGED, name, "its metadata is not text by name", AGAIN))
    else:
        described = dict(_described(metadata))
        found += _unread(name, metadata)
    beginnings = {each for key in described for each in prefixes(key)}
    inner = {each for each in parts if any(start in beginnings for start in starts(each))}
    weights = [_plain(key, part) for key, part in parts.items() if key not in inner]
    return File(
        name=name,
        size=meter.size,
        container=_layout(inner),
        weights=tuple(weights),
        loose={key: part for key, part in parts.items() if key in inner},
        described=described,
        promised=_promised(metadata) if described else (),
        findings=tuple(found),
        bytes_read=meter.bytes,
    )


def _header(meter: Meter) -> tuple[dict[str, Any], int]:
    start = meter.read(8)
    if start.startswith(b"version "):
        raise Unreadable("it is a pointer of Git LFS, not the file itself; run `git lfs pull`")
    if len(start) < 8:
        raise Unreadable(f"it has {len(start)} bytes; a safetensors file begins with 8")
    length = struct.unpack("<Q", start)[0]
    if length > meter.size - 8:
        raise Unreadable(f"its header says {length:,} bytes, and {meter.size - 8:,} are there")
    if length > HEADER:
        raise Unreadable(f"its header has {length:,} bytes, more than {HEADER:,}")
    header = loads(meter.read(length))
    if not isinstance(header, dict):
        raise Unreadable("its header is no JSON object")
    return header, 8 + length


def loads(data: bytes) -> Any:
    """Read JSON in which no name stands twice.

    Raises:
        Unreadable: it is none.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise Unreadable("its JSON is nested absurdly deep") from None
    except ValueError as error:
        raise Unreadable(f"its JSON is damaged: {str(error)[:120]}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Unreadable(f"its JSON has the name {twice[:100]!r} twice")
    return found


def _parts(header: Mapping[str, Any]) -> tuple[dict[str, Part], list[tuple[int, int, str]]]:
    parts, spans = {}, []
    for name, entry in header.items():
        try:
            part, first, last = _entry(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(f"its header has a bad entry {name[:100]!r}: {error}") from None
        parts[name] = part
        spans.append((first, last, name))
    return parts, spans


def _entry(entry: Mapping[str, Any]) -> tuple[Part, int, int]:
    dtype, bits = DTYPES[entry["dtype"]]
    first, last = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if any(type(each) is not int or not 0 <= each < 2**63 for each in (*shape, first, last)):
        raise ValueError("sizes must be whole numbers from 0 on")
    elements = 1
    for each in shape:
        elements = min(elements * each, 2**64)
    if elements * bits != (last - first) * 8:
        raise ValueError(f"{entry['dtype']} of {elements} elements in {last - first} bytes")
    return Part(dtype, shape), first, last


def _spans(name: str, spans: list[tuple[int, int, str]], size: int) -> Iterator[Finding]:
    """The tensors must cover the data, in some order, without holes and without overlapping."""
    end = 0
    for first, last, tensor in sorted(spans):
        if first != end:
            what = "overlaps what is before it" if first < end else "leaves a hole before it"
            yield Finding(Kind.DAMAGED, f"{name}: {tensor}", what, AGAIN)
            return
        end = max(last, end)
    if end != size:
        what = f"its header names {end:,} bytes of data, and {size:,} are there"
        yield Finding(Kind.DAMAGED, name, what, AGAIN)


def _is_text(metadata: Any) -> bool:
    return isinstance(metadata, dict) and all(isinstance(each, str) for each in metadata.values())


def _described(metadata: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What torchao's metadata says of each tensor subclass."""
    for key, value in metadata.items():
        if not value.startswith("{"):
            continue
        try:
            said = loads(value.encode("utf-8", "replace"))
        except Unreadable:
            continue
        if isinstance(said, dict) and isinstance(said.get("_data"), dict):
            kind = said.get("_type")
            if isinstance(kind, str) and kind not in PLAIN:
                yield key, said


def _promised(metadata: Mapping[str, str]) -> tuple[str, ...]:
    try:
        names = loads(metadata.get("tensor_names", "[]").encode("utf-8", "replace"))
    except Unreadable:
        return ()
    return tuple(str(each) for each in names) if isinstance(names, list) else ()


def _unread(name: str, metadata: Mapping[str, str]) -> Iterator[Finding]:
    if "tensor_names" not in metadata:
        return
    broken = [key for key, value in metadata.items() if value.startswith("{") and not _reads(value)]
    if broken:
        what = f"metadata that cannot be read: {some(broken)}"
        yield Finding(Kind.DAMAGED, name, what, AGAIN)


def _reads(value: str) -> bool:
    try:
        loads(value.encode("utf-8", "replace"))
    except Unreadable:
        return False
    return True


def prefixes(key: str) -> tuple[str, str]:
    """Return what the inner tensors of a key begin with: with a colon, and with an underscore."""
    module, _, word = key.rpartition(".")
    return f"{key}:", f"{module}._{word}_" if module else f"_{word}_"


def _plain(name: str, part: Part) -> Weight:
    """A tensor that is no subclass; torchao 0.14 puts `:_data` behind its key."""
    return Weight(name.removesuffix(":_data"), part.dtype, part.shape, {"data": part})


def starts(name: str) -> Iterator[str]:
    """Yield what may be the prefix of an inner tensor's name, longest first."""
    last = name.rfind(".")
    for place in range(len(name) - 1, last, -1):
        if name[place] in ":_":
            yield name[: place + 1]


def _layout(inner: set[str]) -> Container:
    if not inner:
        return Container.SAFETENSORS
    return Container.COLON if any(":" in each for each in inner) else Container.UNDERSCORE
