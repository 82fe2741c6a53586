"""Mutations of sharded checkpoints: shards missing, swapped, twice or stale, and a wrong index."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from conformance.damage.mutation import Files, Kind, Mutation, edited, slug, without

INDEX = ".index.json"
MAP = "weight_map"
Change = Callable[[dict[str, Any]], object]


def shards(files: Files) -> list[str]:
    """Return the names of the shards: none where there is no index."""
    found = index(files)
    return [] if found is None else sorted(set(json.loads(files[found])[MAP].values()))


def index(files: Files) -> str | None:
    """Return the name of the index."""
    return next((name for name in files if name.endswith(INDEX)), None)


def mutations(files: Files, stale: Files, random: Random) -> Iterator[Mutation]:
    """Yield every mutation of the shards; `stale` is an earlier save of other weights."""
    found = index(files)
    if found is None:
        return
    names = shards(files)
    yield Mutation(Kind.SHARD_MISSING, slug(found), without(found))
    for name, following in zip(names, names[1:] + names[:1], strict=True):
        yield Mutation(Kind.SHARD_MISSING, slug(name), without(name))
        if files[name] != files[following]:
            yield Mutation(Kind.SHARDS_SWAPPED, slug(name), partial(_swap, name, following))
            yield Mutation(Kind.SHARD_DUPLICATED, slug(name), partial(_copy, name, following))
        if files[name] != stale[name]:
            old = edited(name, partial(_replaced, stale[name]))
            yield Mutation(Kind.SHARD_STALE, slug(name), old)
    for what, change in _of_index(files, found, names, random):
        yield Mutation(Kind.INDEX, what, edited(found, partial(_edit, change)))
    for what, text in (("empty", b""), ("no-json", b"{"), ("a-list", b"[]"), ("null", b"null")):
        yield Mutation(Kind.INDEX, what, edited(found, partial(_replaced, text)))


def _swap(left: str, right: str, files: Files) -> Files:
    return {**files, left: files[right], right: files[left]}


def _copy(source: str, target: str, files: Files) -> Files:
    return {**files, target: files[source]}


def _replaced(other: bytes, _data: bytes) -> bytes:
    return other


def _edit(change: Change, data: bytes) -> bytes:
    content = json.loads(data)
    change(content)
    return json.dumps(content, indent=2).encode()


def _of_index(
    files: Files, name: str, names: list[str], random: Random
) -> Iterator[tuple[str, Change]]:
    keys = list(json.loads(files[name])[MAP])
    for key in random.sample(keys, min(24, len(keys))):
        other = random.choice([each for each in names if each != _place(files, name, key)])
        yield f"another-shard={slug(key)}", partial(_point, key, other)
        yield f"left-out={slug(key)}", partial(_forget, key)
        yield f"renamed={slug(key)}", partial(_rename, key)
    for what, target in (
        ("nowhere", "nowhere.safetensors"),
        ("above", f"../{names[0]}"),
        ("absolute", f"/{names[0]}"),
        ("itself", name),
        ("a-directory", "."),
        ("empty", ""),
        ("null", None),
        ("a-number", 7),
    ):
        yield f"points-to-{what}", partial(_point, keys[0], target)
    yield "no-map", partial(_forget_map)
    yield "map-empty", partial(_set, MAP, {})
    yield "map-a-list", partial(_set, MAP, keys)
    yield "size-0", partial(_set, "metadata", {"total_size": 0})
    yield "size-absurd", partial(_set, "metadata", {"total_size": 2**63})
    yield "no-metadata", partial(_set, "metadata", {})
    yield "one-key-more", partial(_point, "nobody.weight", names[0])


def _place(files: Files, name: str, key: str) -> str:
    return str(json.loads(files[name])[MAP][key])


def _point(key: str, target: object, content: dict[str, Any]) -> None:
    content[MAP][key] = target


def _forget(key: str, content: dict[str, Any]) -> None:
    del content[MAP][key]


def _rename(key: str, content: dict[str, Any]) -> None:
    content[MAP][f"{key}_"] = content[MAP].pop(key)


def _forget_map(content: dict[str, Any]) -> None:
    del content[MAP]


def _set(key: str, value: object, content: dict[str, Any]) -> None:
    content[key] = value
