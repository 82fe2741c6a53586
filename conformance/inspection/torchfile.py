"""Files of `torch.save`: a zip archive, or the stream of pickles that came before it."""

import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import IO, cast

from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.pickles import Trace, follow, follow_all
from conformance.inspection.reading import Meter, Unreadable
from conformance.inspection.tensors import Storage, Tensors
from conformance.inspection.weights import Container, File, Weight

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of the older stream; magic, protocol and system come before the state dict."""
DIRECTORY = 16 * 2**20
"""Bytes of a zip archive's list of entries; 20,000 weights need 6 MB."""
PICKLE = 64 * 2**20


def read(name: str, meter: Meter) -> File:
    """Read a file of `torch.save`.

    Raises:
        Unreadable: it is none, or is damaged.
    """
    start = meter.read(4)
    meter.seek(0)
    if start.startswith(b"PK"):
        return _archive(name, meter)
    if start.startswith(b"\x80"):
        return _stream(name, meter)
    raise Unreadable(_no_torch_file(start))


def _no_torch_file(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start.startswith(b"vers"):
        return "it is a pointer of Git LFS, not the file itself; run `git lfs pull`"
    return "it is neither a zip archive nor a pickle"


def _archive(name: str, meter: Meter) -> File:
    meter.at_once = DIRECTORY
    try:
        with zipfile.ZipFile(cast(IO[bytes], meter)) as archive:
            meter.at_once = PICKLE
            return _read_archive(name, meter, archive)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"the zip archive is truncated or damaged: {error}") from None
    except (ValueError, OSError, OverflowError) as error:
        raise Unreadable(f"the zip archive is damaged: {error}") from None


def _read_archive(name: str, meter: Meter, archive: zipfile.ZipFile) -> File:
    entries = {each.filename: each for each in archive.infolist()}
    pickles = [each for each in entries if each.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Unreadable(_no_state_dict(entries, len(pickles)))
    root = pickles[0].removesuffix("data.pkl")
    trace = follow(_unpacked(archive, entries[pickles[0]]))
    tensors = Tensors()
    weights = tuple(tensors.weights(trace.value))
    found = [*_entries(name, meter, archive.infolist())]
    found += _storages(name, root, entries, tensors.storages.values())
    made = File(name, meter.size, Container.PICKLE, weights, findings=tuple(found))
    return _told(made, trace, meter)


def _no_state_dict(entries: dict[str, zipfile.ZipInfo], count: int) -> str:
    if any(each.endswith(("/constants.pkl", "/models/model.json")) for each in entries):
        return "it is a TorchScript or torch.export archive, not a state dict"
    return f"it is a zip archive with {count} entries named data.pkl, where torch.save writes one"


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the content of an entry, which may unpack to more than it says."""
    if entry.file_size > PICKLE:
        raise Unreadable(f"its pickle has {entry.file_size:,} bytes, more than {PICKLE:,}")
    with archive.open(entry) as file:
        data = file.read(PICKLE + 1)
    if len(data) > PICKLE:
        raise Unreadable(f"its pickle unpacks to more than {PICKLE:,} bytes")
    return data


def _entries(name: str, meter: Meter, entries: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    """What an archive of `torch.save` never has."""
    outside = [each.filename for each in entries if _leads_outside(each.filename)]
    if outside:
        yield Finding(Kind.HOSTILE, name, f"entries of the archive lead outside: {some(outside)}")
    if len({each.filename for each in entries}) < len(entries):
        yield Finding(Kind.DAMAGED, name, "two entries of the archive have one name")
    packed = [each.filename for each in entries if each.compress_type != zipfile.ZIP_STORED]
    if packed:
        what = f"entries are compressed, which torch.save never does: {some(packed)}"
        yield Finding(Kind.DAMAGED, name, what, "unpack it with care: it may be a zip bomb")
    held = sum(each.compress_size for each in entries)
    if held > meter.size:
        what = f"the entries have {held:,} bytes and the file {meter.size:,}: they overlap"
        yield Finding(Kind.DAMAGED, name, what, "take the file from its source again")


def _leads_outside(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")


def _storages(
    name: str, root: str, entries: dict[str, zipfile.ZipInfo], storages: Collection[Storage]
) -> Iterator[Finding]:
    """Compare what the pickle says of its storages with what is in the archive."""
    absent = [each.key for each in storages if f"{root}data/{each.key}" not in entries]
    if absent:
        what = f"storages that the pickle names are not in the archive: {some(absent)}"
        yield Finding(Kind.MISSING, name, what, "take the file from its source again")
    for each in storages:
        entry = entries.get(f"{root}data/{each.key}")
        if entry is not None and entry.file_size != each.bytes:
            what = f"storage {each.key}: {each.bytes:,} bytes named, {entry.file_size:,} there"
            yield Finding(Kind.DAMAGED, name, what, "take the file from its source again")


def _stream(name: str, meter: Meter) -> File:
    """Read the older stream, or a pickle that is none of torch's."""
    first, *_ = follow_all(meter, 1)
    if first.value != MAGIC:
        tensors = Tensors()
        weights = tuple(tensors.weights(first.value))
        made = File(name, meter.size, Container.PICKLE, weights)
        note = Finding(Kind.NOTE, name, "a bare pickle, not a file of torch.save")
        return _told(replace(made, findings=(note,)), first, meter)
    *before, trace = follow_all(meter, 3)
    (keys,) = follow_all(meter, 1)
    tensors = Tensors()
    weights = tuple(tensors.weights(trace.value))
    findings = tuple(_older(name, meter, tensors, weights))
    made = File(name, meter.size, Container.PICKLE, weights, findings=findings)
    for each in (first, *before, keys):
        trace.names |= each.names
        trace.called |= each.called
        trace.computed |= each.computed
    return _told(made, trace, meter)


def _older(
    name: str, meter: Meter, tensors: Tensors, weights: tuple[Weight, ...]
) -> Iterator[Finding]:
    """The storages follow the pickles, each with its count of elements before it."""
    yield Finding(Kind.NOTE, name, "the older format of torch.save (before torch 1.6)")
    wanted = sum(each.bytes + 8 for each in tensors.storages.values())
    if weights and meter.size - meter.tell() != wanted:
        what = f"{wanted:,} bytes of storages named, {meter.size - meter.tell():,} there"
        yield Finding(Kind.DAMAGED, name, what, "take the file from its source again")


def _told(file: File, trace: Trace, meter: Meter) -> File:
    """Add what the pickle names, and that it holds no weights where it holds none."""
    found = list(file.findings)
    if trace.computed:
        what = "the pickle imports or calls something whose name is only made while it runs"
        found.append(Finding(Kind.HOSTILE, file.name, what, NEVER))
    if not file.weights:
        whole = any(each.endswith(("Module", "Model")) for each in trace.called)
        what = "a whole module was pickled, not its weights" if whole else "it holds no weights"
        found.append(Finding(Kind.MISSING, file.name, what, "save `model.state_dict()` instead"))
    names, read = tuple(trace.names), meter.bytes
    return replace(file, names=names, findings=tuple(found), bytes_read=read)


NEVER = "do not load it with weights_only=False, and ask its source for safetensors"
