"""Where the parts of a file begin and end: what a bit belongs to, and where a cut is clean."""

import io
import json
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from conformance._compat import StrEnum

PIECES = 16
"""Into how many a file of unknown structure is cut."""


class Part(StrEnum):
    """What the bytes of a region are."""

    HEADER = "header"
    METADATA = "metadata"
    PAYLOAD = "payload"


@dataclass(frozen=True)
class Region:
    """Bytes from `start` to before `end`; never empty."""

    part: Part
    start: int
    end: int


def is_safetensors(name: str) -> bool:
    """Is it called as a safetensors file is?"""
    return name.endswith(".safetensors")


def is_archive(data: bytes) -> bool:
    """Is it a zip archive, as `torch.save` writes?"""
    return data.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(data))


def regions(name: str, data: bytes) -> list[Region]:
    """Return the regions of an undamaged file, in order, without holes."""
    if is_safetensors(name):
        found = _of_safetensors(data)
    elif is_archive(data):
        found = _of_archive(data)
    elif name.endswith(".json"):
        found = iter([Region(Part.METADATA, 0, len(data))])
    else:
        step = max(1, len(data) // PIECES)
        cuts = [*range(0, len(data), step), len(data)]
        found = (Region(Part.PAYLOAD, *cut) for cut in pairwise(cuts))
    return [each for each in found if each.start < each.end]


def boundaries(name: str, data: bytes) -> list[int]:
    """Return every length at which a region begins, the whole file aside."""
    return sorted({each.start for each in regions(name, data)})


def _of_safetensors(data: bytes) -> Iterator[Region]:
    end = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:end])
    first, last = _metadata(data[8:end])
    yield Region(Part.HEADER, 0, 8)
    yield Region(Part.HEADER, 8, 8 + first)
    yield Region(Part.METADATA, 8 + first, 8 + last)
    yield Region(Part.HEADER, 8 + last, end)
    spans = (entry["data_offsets"] for key, entry in header.items() if key != "__metadata__")
    for start, stop in sorted(spans):
        yield Region(Part.PAYLOAD, end + start, end + stop)


def _metadata(header: bytes) -> tuple[int, int]:
    """Return where the value of `__metadata__` begins and ends; it is ASCII that torchao writes."""
    text = header.decode("utf-8")
    start = text.find('"__metadata__":')
    if start < 0:
        return 1, 1
    start += len('"__metadata__":')
    _, end = json.JSONDecoder().raw_decode(text, start)
    return len(text[:start].encode()), len(text[:end].encode())


def _of_archive(data: bytes) -> Iterator[Region]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = sorted(archive.infolist(), key=lambda each: each.header_offset)
        directory = archive.start_dir
    for entry, following in zip(entries, [*entries[1:], None], strict=True):
        begin = entry.header_offset
        start = payload_start(data, entry)
        end = start + entry.compress_size
        yield Region(Part.HEADER, begin, start)
        yield Region(_part(entry.filename), start, end)
        yield Region(Part.HEADER, end, following.header_offset if following else directory)
    record = data.rindex(b"PK\x05\x06")
    yield Region(Part.HEADER, directory, record)
    yield Region(Part.HEADER, record, len(data))


def payload_start(data: bytes, entry: zipfile.ZipInfo) -> int:
    """Return where the bytes of an entry begin: behind a header of its own length."""
    name, extra = struct.unpack("<HH", data[entry.header_offset + 26 : entry.header_offset + 30])
    return entry.header_offset + 30 + int(name) + int(extra)


def _part(entry: str) -> Part:
    inside = entry.partition("/")[2]
    if inside.startswith("data/"):
        return Part.PAYLOAD
    return Part.METADATA if inside == "data.pkl" else Part.HEADER
