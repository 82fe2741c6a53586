"""Mutations of files of `torch.save` that know the format: the pickle, the archive, its lengths."""

import io
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from conformance.damage.mutation import Files, Kind, Mutation, edited, slug
from conformance.damage.regions import is_archive, payload_start

BOMB = 2**27
"""Bytes that a bomb unpacks to."""
ALIGNMENT = 64
PICKLE = "/data.pkl"
STORAGES = {
    "CharStorage": ("ByteStorage", "ShortStorage"),
    "ByteStorage": ("CharStorage",),
    "BFloat16Storage": ("HalfStorage", "FloatStorage"),
    "FloatStorage": ("IntStorage", "DoubleStorage"),
}
"""The same bytes read otherwise, and one width that contradicts them."""
CLASSES = (
    ("torchao.quantization Int8Tensor", "torchao.quantization Float8Tensor"),
    ("torch bfloat16", "torch float32"),
    ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
    ("collections OrderedDict", "builtins dict"),
)
NUMBERS = {"BININT1": 1, "BININT2": 2, "BININT": 4}
"""Bytes of a number behind its opcode."""


def entries(data: bytes) -> dict[str, bytes]:
    """Return what an undamaged archive holds, in its order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {each.filename: archive.read(each) for each in archive.infolist()}


def packed(contents: dict[str, bytes], squeezed: frozenset[str] = frozenset()) -> bytes:
    """Return an archive as `torch.save` writes it: stored, and aligned to 64 bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name)
            pad = -(file.tell() + 30 + len(name.encode()) + 4) % ALIGNMENT
            entry.extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
            way = zipfile.ZIP_DEFLATED if name in squeezed else zipfile.ZIP_STORED
            archive.writestr(entry, data, way, compresslevel=1)
    return file.getvalue()


def mutations(files: Files, random: Random) -> Iterator[Mutation]:
    """Yield every mutation of every archive; those of numbers in the pickle are drawn."""
    for name, data in files.items():
        if is_archive(data):
            yield from _of_entries(name, data, random)
            yield from _of_pickle(name, data, random)
            yield from _of_directory(name, data)


def _named(name: str, kind: Kind, what: str, change: Callable[[bytes], bytes]) -> Mutation:
    return Mutation(kind, f"{slug(name)}:{slug(what)}", edited(name, change))


# Entries


def _of_entries(name: str, data: bytes, random: Random) -> Iterator[Mutation]:
    contents = entries(data)
    sizes: dict[int, str] = {}
    for entry, content in contents.items():
        yield _named(name, Kind.KEY_DROPPED, f"entry={entry}", partial(_leave_out, entry))
        if "/data/" not in entry or not content:
            continue
        place = random.randrange(len(content))
        yield _named(
            name, Kind.PAYLOAD_REWRITTEN, f"{entry}@{place}", partial(_rewrite, entry, place)
        )
        other = sizes.get(len(content), entry)
        if contents[other] != content:
            yield _named(name, Kind.KEYS_SWAPPED, f"entry={entry}", partial(_swap, entry, other))
        sizes[len(content)] = entry
    for entry in (_pickle_of(contents), *list(contents)[-4:-2]):
        yield _named(name, Kind.BOMB, f"zeros={entry}", partial(_bomb, entry))
        yield _named(name, Kind.BOMB, f"deflated={entry}", partial(_squeeze, entry))


def _leave_out(entry: str, data: bytes) -> bytes:
    return packed({each: content for each, content in entries(data).items() if each != entry})


def _rewrite(entry: str, place: int, data: bytes) -> bytes:
    contents = entries(data)
    content = contents[entry]
    changed = bytes([content[place] ^ 0x11])
    return packed({**contents, entry: content[:place] + changed + content[place + 1 :]})


def _swap(left: str, right: str, data: bytes) -> bytes:
    contents = entries(data)
    return packed({**contents, left: contents[right], right: contents[left]})


def _bomb(entry: str, data: bytes) -> bytes:
    """The entry unpacks to far more than it is; what it was comes first."""
    contents = entries(data)
    return packed({**contents, entry: contents[entry] + bytes(BOMB)}, frozenset({entry}))


def _squeeze(entry: str, data: bytes) -> bytes:
    """No bomb: compressed, which `torch.save` never does."""
    return packed(entries(data), frozenset({entry}))


# The pickle


def _pickle_of(contents: dict[str, bytes]) -> str:
    return next(each for each in contents if each.endswith(PICKLE))


def _of_pickle(name: str, data: bytes, random: Random) -> Iterator[Mutation]:
    pickled = entries(data)[_pickle_of(entries(data))]
    numbers: list[tuple[str, int]] = []
    strings: list[tuple[str, int]] = []
    for code, argument, place in pickletools.genops(pickled):
        if code.name == "BINUNICODE" and place is not None:
            strings.append((str(argument), place))
        elif code.name in NUMBERS and place is not None:
            numbers.append((code.name, place))
        elif code.name == "GLOBAL" and place is not None:
            yield from _of_global(name, str(argument), place)
    for text, place in strings:
        kind = Kind.KEY_RENAMED if "." in text else Kind.METADATA_EDITED
        longer = partial(_in_pickle, partial(_lengthen, text, place))
        yield _named(name, kind, f"{place}={text}", longer)
    for code_name, place in numbers:
        value = random.randrange(256 ** NUMBERS[code_name] - 1)
        near = partial(_in_pickle, partial(_number, code_name, place, None))
        far = partial(_in_pickle, partial(_number, code_name, place, value))
        yield _named(name, Kind.SHAPE_EDITED, f"{place}+1", near)
        yield _named(name, Kind.SHAPE_EDITED, f"{place}={value}", far)
    for what, change in _absurd(pickled, numbers):
        yield _named(name, Kind.ABSURD, what, partial(_in_pickle, change))


def _of_global(name: str, argument: str, place: int) -> Iterator[Mutation]:
    module, _, word = argument.partition(" ")
    for other in STORAGES.get(word, ()):
        change = partial(_rename, argument, f"{module} {other}", place)
        yield _named(name, Kind.DTYPE_EDITED, f"{place}={other}", partial(_in_pickle, change))
    for before, after in CLASSES:
        if argument == before:
            change = partial(_rename, before, after, place)
            what = f"{place}={after.partition(' ')[2]}"
            yield _named(name, Kind.METADATA_EDITED, what, partial(_in_pickle, change))


def _in_pickle(change: Callable[[bytes], bytes], data: bytes) -> bytes:
    contents = entries(data)
    entry = _pickle_of(contents)
    return packed({**contents, entry: change(contents[entry])})


def _lengthen(text: str, place: int, pickled: bytes) -> bytes:
    """A string is one letter longer."""
    before, after = text.encode(), f"{text}_".encode()
    start, end = place + 1, place + 5 + len(before)
    return pickled[:start] + struct.pack("<I", len(after)) + after + pickled[end:]


def _rename(before: str, after: str, place: int, pickled: bytes) -> bytes:
    """A class or function is another."""
    lines = [each.replace(" ", "\n").encode() + b"\n" for each in (before, after)]
    return pickled[: place + 1] + lines[1] + pickled[place + 1 + len(lines[0]) :]


def _number(code: str, place: int, value: int | None, pickled: bytes) -> bytes:
    """A number is another: one more than it was, or one of those that it was not."""
    size = NUMBERS[code]
    start, end = place + 1, place + 1 + size
    old = int.from_bytes(pickled[start:end], "little")
    new = old + 1 if value is None else value + (value >= old)
    return pickled[:start] + (new % (1 << 8 * size)).to_bytes(size, "little") + pickled[end:]


def _absurd(
    pickled: bytes, numbers: list[tuple[str, int]]
) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Yield lengths that no pickle has, and programs that only cost."""
    for code, place in numbers[:: max(1, len(numbers) // 12)]:
        yield f"number@{place}", partial(_huge, code, place)
    yield "string", partial(_replaced, b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x.")
    yield "long", partial(_replaced, b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.")
    yield "memo", partial(_replaced, b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".")
    yield "deep", partial(_replaced, b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".")
    yield "endless", partial(_replaced, pickled[:-1] * 2)


def _replaced(other: bytes, _pickled: bytes) -> bytes:
    return other


def _huge(code: str, place: int, pickled: bytes) -> bytes:
    """The number is a LONG1 of 2**40 elements."""
    end = place + 1 + NUMBERS[code]
    return pickled[:place] + b"\x8a\x06" + (2**40).to_bytes(6, "little") + pickled[end:]


# The directory at the end


def _of_directory(name: str, data: bytes) -> Iterator[Mutation]:
    """Lie about sizes and places of entries."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos, start = archive.infolist(), archive.start_dir
    place = start
    for info in infos:
        if info.filename.endswith((PICKLE, "/data/0", "/data/1", "/version")):
            for what, offset in (("packed", 20), ("size", 24), ("place", 42)):
                for value in (1, 2**31, 2**32 - 2):
                    change = partial(_long, place + offset, value)
                    what_else = f"{what}-{value}={info.filename}"
                    yield _named(name, Kind.ABSURD, what_else, change)
            again = partial(_long, payload_start(data, info) - 4, 0xFFFFFFFF)
            yield _named(name, Kind.ABSURD, f"end-of-header={info.filename}", again)
        lengths = struct.unpack("<HHH", data[place + 28 : place + 34])
        place += 46 + sum(lengths)
    record = data.rindex(b"PK\x05\x06")
    for what, offset, value in (
        ("entries-none", 8, 0),
        ("entries-many", 8, 0xFFFFFFFF),
        ("directory-size", 12, 2**32 - 2),
        ("directory-place", 16, 2**31),
    ):
        yield _named(name, Kind.ABSURD, what, partial(_long, record + offset, value))


def _long(place: int, value: int, data: bytes) -> bytes:
    return data[:place] + struct.pack("<I", value) + data[place + 4 :]
