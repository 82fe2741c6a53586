"""Mutations of `config.json`: missing, or with a value that is gone or another."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from conformance.damage.mutation import Files, Kind, Mutation, edited, slug, without

CONFIG = "config.json"
Path = tuple[str | int, ...]


def mutations(files: Files) -> Iterator[Mutation]:
    """Yield every mutation of the config; none where there is no config."""
    if CONFIG not in files:
        return
    yield Mutation(Kind.CONFIG_MISSING, "gone", without(CONFIG))
    for what, text in (
        ("no-bytes", b""),
        ("empty", b"{}"),
        ("no-json", b"{"),
        ("a-list", b"[]"),
        ("null", b"null"),
        ("no-text", b"\xff\xfe"),
        ("nested", b"[" * 100_000),
    ):
        yield Mutation(Kind.CONFIG_MISSING, what, edited(CONFIG, partial(_replaced, text)))
    for path, value in _leaves(json.loads(files[CONFIG])):
        where = slug(".".join(map(str, path)))
        yield Mutation(Kind.CONFIG_EDITED, f"gone={where}", edited(CONFIG, partial(_without, path)))
        for other in (each for each in _others(value) if repr(each) != repr(value)):
            change = edited(CONFIG, partial(_with, path, other))
            yield Mutation(Kind.CONFIG_EDITED, f"{where}={slug(json.dumps(other))}", change)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value, those that hold others included."""
    if path:
        yield path, value
    inside = value.items() if isinstance(value, dict) else ()
    for name, each in (*inside, *(enumerate(value) if isinstance(value, list) else ())):
        yield from _leaves(each, (*path, name))


def _others(value: Any) -> list[Any]:
    """Return what a value may have become."""
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int):
        return [value + 1, value * 2, 0, -1, 2**40, str(value), None]
    if isinstance(value, str):
        return ["", f"{value}2", "Int8DynamicActivationInt8WeightConfig", 7, None]
    if value is None:
        return [1, "x"]
    return [None, {}, [], "x"]


def _replaced(other: bytes, _data: bytes) -> bytes:
    return other


def _holder(content: Any, path: Path) -> Any:
    for each in path[:-1]:
        content = content[each]
    return content


def _without(path: Path, data: bytes) -> bytes:
    content = json.loads(data)
    del _holder(content, path)[path[-1]]
    return json.dumps(content, indent=2).encode()


def _with(path: Path, value: Any, data: bytes) -> bytes:
    content = json.loads(data)
    _holder(content, path)[path[-1]] = value
    return json.dumps(content, indent=2).encode()
