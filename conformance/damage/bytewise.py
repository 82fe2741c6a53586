"""Mutations that need to know nothing but where regions are: cuts, bits, and bytes anywhere."""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from conformance.damage.mutation import Files, Kind, Mutation, edited, flipped, slug
from conformance.damage.regions import Part, Region, boundaries, regions

BITS = {
    Part.HEADER: Kind.HEADER_BIT,
    Part.METADATA: Kind.METADATA_BIT,
    Part.PAYLOAD: Kind.PAYLOAD_BIT,
}
BLOCK = 512
"""Bytes that a disk loses at once."""


def cuts(files: Files) -> Iterator[Mutation]:
    """Cut every file at every boundary of its structure, and one byte before its end."""
    for name, data in files.items():
        middle = [len(data) // 2] if name.endswith(".json") else []
        for length in sorted({*boundaries(name, data), *middle, len(data) - 1}):
            change = edited(name, partial(_cut, length))
            yield Mutation(Kind.TRUNCATED, f"{slug(name)}@{length}", change)


def _cut(length: int, data: bytes) -> bytes:
    return data[:length]


def bits(files: Files, random: Random, part: Part) -> Iterator[Mutation]:
    """Turn over one bit after the other, without end; none where no file has such a part."""
    there = [
        (name, region)
        for name, data in files.items()
        for region in regions(name, data)
        if region.part is part
    ]
    weights = [region.end - region.start for _, region in there]
    while there:
        # Half of them in a small region: most bytes of a file lie in few of its parts.
        (found,) = (
            random.choices(there, weights) if random.random() < 0.5 else [random.choice(there)]
        )
        yield _bit(*found, random)


def _bit(name: str, region: Region, random: Random) -> Mutation:
    place, bit = random.randrange(region.start, region.end), random.randrange(8)
    change = edited(name, partial(flipped, place=place, bit=bit))
    return Mutation(BITS[region.part], f"{slug(name)}@{place}.{bit}", change)


def anywhere(files: Files, random: Random) -> Iterator[Mutation]:
    """Change, zero, take out or put in bytes of some file, without end."""
    names = [name for name, data in files.items() if data]
    ways = {"changed": _changed, "zeroed": _zeroed, "taken": _taken, "put": _put, "moved": _moved}
    while True:
        name, way = random.choice(names), random.choice(list(ways))
        seed = random.getrandbits(32)
        change = edited(name, partial(_seeded, ways[way], seed))
        yield Mutation(Kind.ANYWHERE, f"{slug(name)}@{way}.{seed}", change)


def _seeded(way: Callable[[bytes, Random], bytes], seed: int, data: bytes) -> bytes:
    return way(data, Random(seed))


def _place(data: bytes, random: Random) -> int:
    return random.randrange(len(data))


def _changed(data: bytes, random: Random) -> bytes:
    found = bytearray(data)
    for _ in range(random.randint(1, 8)):
        found[_place(data, random)] = random.randrange(256)
    return bytes(found)


def _zeroed(data: bytes, random: Random) -> bytes:
    start = _place(data, random) // BLOCK * BLOCK
    end = min(start + BLOCK, len(data))
    return data[:start] + bytes(end - start) + data[end:]


def _taken(data: bytes, random: Random) -> bytes:
    start = _place(data, random)
    return data[:start] + data[start + random.randint(1, BLOCK) :]


def _put(data: bytes, random: Random) -> bytes:
    start = _place(data, random)
    return data[:start] + random.randbytes(random.randint(1, BLOCK)) + data[start:]


def _moved(data: bytes, random: Random) -> bytes:
    """A block lies where another one belongs."""
    blocks = max(1, len(data) // BLOCK)
    source, target = (random.randrange(blocks) * BLOCK for _ in range(2))
    block = data[source : source + BLOCK]
    return data[:target] + block + data[target + len(block) :]
