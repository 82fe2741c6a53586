"""A whole checkpoint: its files, joined, and everything that is found about them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from conformance.inspection import safetensors, torchfile
from conformance.inspection.agreement import agreement, rivals
from conformance.inspection.assemble import join
from conformance.inspection.config import Config, parse
from conformance.inspection.findings import Finding, Kind
from conformance.inspection.hostile import executed
from conformance.inspection.layout import WeightSet, folders, indexes, inside, is_shard, weight_sets
from conformance.inspection.reading import Unreadable
from conformance.inspection.sources import Source, metered
from conformance.inspection.weights import Container, File, Weight


@dataclass(frozen=True)
class StateDict:
    """What one weight set holds."""

    set: WeightSet
    files: tuple[File, ...]
    weights: tuple[Weight, ...]
    container: Container | None
    findings: tuple[Finding, ...]

    @property
    def quantized(self) -> tuple[Weight, ...]:
        """The tensor subclasses."""
        return tuple(each for each in self.weights if each.quantized)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(each.size for each in self.files)


@dataclass(frozen=True)
class Checkpoint:
    """A folder with weights, or one file of it."""

    name: str
    """The folder, relative to what is inspected; empty for itself."""
    state_dicts: tuple[StateDict, ...]
    """The first is what a load takes."""
    config: Config | None
    findings: tuple[Finding, ...]
    """All of them, worst first."""

    @property
    def loaded(self) -> StateDict:
        """What a load takes."""
        return self.state_dicts[0]

    @property
    def wrong(self) -> bool:
        """Is anything wrong with it?"""
        return any(each.kind.wrong for each in self.findings)

    @property
    def bytes_read(self) -> int:
        """Bytes that were read of its weight files."""
        return sum(file.bytes_read for each in self.state_dicts for file in each.files)


def checkpoints(
    source: Source, measured: frozenset[str], only: str | None = None
) -> Iterator[Checkpoint]:
    """Inspect every folder with weights, or only one file of one.

    Args:
        source: Where the files are.
        measured: The torchao names that are known from measured checkpoints.
        only: The one file (weights or an index) that is asked about.
    """
    names = list(source.files())
    for folder in folders([only] if only else names):
        yield _checkpoint(source, measured, folder, inside(folder, names), only)


def _checkpoint(
    source: Source, measured: frozenset[str], folder: str, names: list[str], only: str | None
) -> Checkpoint:
    findings: list[Finding] = []

    def load(name: str) -> Any:
        return _json(source, _path(folder, name), findings)

    asked = [PurePosixPath(only).name] if only else names
    contents = {name: load(name) for name in indexes(asked)}
    sets = weight_sets(names, contents)
    if only is not None:
        sets = _asked(sets, PurePosixPath(only).name)
    read = tuple(_state_dict(source, folder, each) for each in sets)
    config = None
    if only is None and "config.json" in names:
        content = load("config.json")
        config = parse(content) if isinstance(content, dict) else None
    for each in read:
        findings += [*each.set.findings, *each.findings]
        findings += executed(each.files, measured)
    findings += [*agreement(read[0].weights, read[0].container, config), *rivals(read)]
    if only is not None and is_shard(only):
        findings = [_of_one_shard(each) for each in findings]
    ordered = sorted(dict.fromkeys(findings), key=lambda each: list(Kind).index(each.kind))
    return Checkpoint(folder, read, config, tuple(ordered))


def _of_one_shard(finding: Finding) -> Finding:
    """What is missing in one shard may be in another."""
    if finding.kind is not Kind.MISSING:
        return finding
    return replace(finding, kind=Kind.NOTE, mend="it may be in another shard: inspect the index")


def _asked(sets: list[WeightSet], name: str) -> list[WeightSet]:
    """Only what was asked for: a whole set by its index, or one file, also where it is a shard."""
    for each in sets:
        if each.name == name:
            return [each]
    stem, _, suffix = name.rpartition(".")
    return [WeightSet(name, stem, suffix == "safetensors", (name,))]


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _json(source: Source, path: str, findings: list[Finding]) -> Any:
    try:
        with metered(source, path) as meter:
            return safetensors.loads(meter.read())
    except (Unreadable, OSError) as error:
        findings.append(Finding(Kind.DAMAGED, path, str(error), "take it from its source again"))
        return None


def _state_dict(source: Source, folder: str, found: WeightSet) -> StateDict:
    files = tuple(_file(source, _path(folder, name)) for name in found.files)
    joined = join(_path(folder, found.name), files, found.index)
    own = [each for file in files for each in file.findings]
    return StateDict(found, files, joined.weights, joined.container, (*own, *joined.findings))


def _file(source: Source, path: str) -> File:
    size, count = 0, 0
    try:
        with metered(source, path) as meter:
            size = meter.size
            try:
                if path.endswith(".safetensors"):
                    return safetensors.read(path, meter)
                return torchfile.read(path, meter)
            finally:
                count = meter.bytes
    except (Unreadable, OSError, RecursionError) as error:
        what = str(error) if isinstance(error, Unreadable) else f"it cannot be read: {error}"
        finding = Finding(Kind.DAMAGED, path, what, "take the file from its source again")
        return replace(File(path, size, None), findings=(finding,), bytes_read=count)


def totals(weights: Iterable[Weight]) -> Mapping[str, int]:
    """Return the bytes of parts by dtype, largest first."""
    found: dict[str, int] = {}
    for weight in weights:
        for part in weight.parts.values():
            found[part.dtype] = found.get(part.dtype, 0) + part.bytes
    return dict(sorted(found.items(), key=lambda each: -each[1]))
