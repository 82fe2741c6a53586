"""Which files belong together, and which of them a load takes."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.sources import SUFFIXES

_INDEX = re.compile(r"(?P<stem>.+)\.(?P<ext>safetensors|bin)\.index(?P<variant>\.[\w-]+)?\.json")
_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<total>\d{5})\.(?P<ext>safetensors|bin)")


@dataclass(frozen=True)
class WeightSet:
    """Files that together are one state dict."""

    name: str
    """The index, or the only file; relative to what is inspected."""
    stem: str
    """`diffusion_pytorch_model`, with its variant."""
    safetensors: bool
    files: tuple[str, ...]
    """Those that are there."""
    index: Mapping[str, str] | None = None
    """Which file holds which key, as the index says."""
    findings: tuple[Finding, ...] = ()

    @property
    def rank(self) -> int:
        """Its place in the order in which `from_pretrained` looks."""
        sharded = self.name.endswith(".json")
        return (0 if sharded else 1) if self.safetensors else (3 if sharded else 2)

    @property
    def needs_a_flag(self) -> bool:
        """Shards of pickles are not looked for without `use_safetensors=False`."""
        return self.rank == 3


def is_weights(name: str) -> bool:
    """Is it called as a file of weights is?"""
    return name.endswith(SUFFIXES)


def is_shard(name: str) -> bool:
    """Is it called as one file of several is?"""
    return _SHARD.fullmatch(_base(name)) is not None


def folders(names: Iterable[str]) -> list[str]:
    """Return the folders that hold weights or an index, the root as an empty name."""
    found = [name for name in names if is_weights(name) or _INDEX.fullmatch(_base(name))]
    return sorted({str(PurePosixPath(name).parent).removeprefix(".") for name in found})


def inside(folder: str, names: Iterable[str]) -> list[str]:
    """Return the names of the files directly in a folder, without it."""
    parent = PurePosixPath(folder)
    return sorted(_base(each) for each in names if PurePosixPath(each).parent == parent)


def _base(name: str) -> str:
    return PurePosixPath(name).name


def indexes(names: Iterable[str]) -> list[str]:
    """Return the index files among the names of a folder."""
    return [each for each in names if _INDEX.fullmatch(each)]


def weight_sets(names: list[str], contents: Mapping[str, Any]) -> list[WeightSet]:
    """Group the files of a folder; `contents` is the JSON of its indexes, None where unreadable."""
    sets = [_indexed(index, content, names) for index, content in contents.items()]
    taken = {file for each in sets for file in each.files}
    rest = [name for name in names if is_weights(name) and name not in taken]
    shards = {name: match for name in rest if (match := _SHARD.fullmatch(name))}
    sets = [_with_strays(each, shards) for each in sets]
    indexed = {(each.stem, each.safetensors) for each in sets}
    sets += _without_index(shards, indexed)
    for name in rest:
        if name not in shards:
            stem, _, suffix = name.rpartition(".")
            sets.append(WeightSet(name, stem, suffix == "safetensors", (name,)))
    return sorted(sets, key=lambda each: (each.rank, each.name))


def _indexed(name: str, content: Any, names: list[str]) -> WeightSet:
    match = _INDEX.fullmatch(name)
    stem, kind = (match["stem"] + (match["variant"] or ""), match["ext"]) if match else (name, "")
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    findings = []
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        findings.append(Finding(Kind.DAMAGED, name, "the index has no readable weight_map", AGAIN))
        weight_map = {}
    wanted = sorted(set(weight_map.values()))
    outside = [each for each in wanted if leads_outside(each)]
    if outside:
        what = f"the index names files outside its folder: {some(outside)}"
        findings.append(Finding(Kind.HOSTILE, name, what, "do not load it"))
    absent = [each for each in wanted if each not in names and each not in outside]
    if absent:
        what = f"shards that the index names are not there: {some(absent)}"
        findings.append(Finding(Kind.MISSING, name, what, AGAIN))
    files = tuple(each for each in wanted if each in names and is_weights(each))
    return WeightSet(name, stem, kind == "safetensors", files, weight_map, tuple(findings))


AGAIN = "take the files from their source again"


def leads_outside(name: str) -> bool:
    """Is it anything but the plain name of a file in the same folder?"""
    return name in ("", ".", "..") or any(each in name for each in "/\\:\0")


def _with_strays(found: WeightSet, shards: Mapping[str, re.Match[str]]) -> WeightSet:
    kind = "safetensors" if found.safetensors else "bin"
    strays = [
        name
        for name, match in shards.items()
        if (match["stem"], match["ext"]) == (found.stem, kind)
    ]
    if not strays:
        return found
    what = f"shards that the index does not name: {some(strays)}"
    finding = Finding(Kind.STALE, found.name, what, "an earlier save left them: delete them")
    return WeightSet(**{**vars(found), "findings": (*found.findings, finding)})


def _without_index(
    shards: Mapping[str, re.Match[str]], indexed: set[tuple[str, bool]]
) -> Iterator[WeightSet]:
    groups: dict[tuple[str, bool], list[str]] = {}
    for name, match in shards.items():
        groups.setdefault((match["stem"], match["ext"] == "safetensors"), []).append(name)
    for (stem, safe), files in groups.items():
        if (stem, safe) not in indexed:
            name = f"{stem}.{'safetensors' if safe else 'bin'}.index.json"
            total = int(shards[files[0]]["total"])
            what = f"the index of {len(files)} shards is not there; a whole set has {total}"
            missing = Finding(Kind.MISSING, name, what, AGAIN)
            yield WeightSet(name, stem, safe, tuple(files), findings=(missing,))
