"""Join the files of a weight set: the inner tensors of one weight may lie in two shards."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.safetensors import prefixes, starts
from conformance.inspection.weights import Container, File, Part, Weight


@dataclass(frozen=True)
class Joined:
    """The state dict of a weight set."""

    weights: tuple[Weight, ...]
    container: Container | None
    findings: tuple[Finding, ...]


def join(name: str, files: Iterable[File], index: Mapping[str, str] | None) -> Joined:
    """Put the weights of all files together, and compare them with the index."""
    files = tuple(files)
    described = {key: said for file in files for key, said in file.described.items()}
    loose = {key: part for file in files for key, part in file.loose.items()}
    parts = _parts(loose, described)
    weights = {each.key: each for file in files for each in file.weights}
    findings = [*_twice(name, files), *_stripped(name, weights)]
    for key, said in sorted(described.items()):
        weight, absent = _subclass(key, said, parts.get(key, {}))
        weights[key] = weight
        if absent:
            what = f"its inner tensors {', '.join(absent)} are in no file"
            findings.append(Finding(Kind.MISSING, f"{name}: {key}", what, PARTS_GONE))
    findings += _promised(name, files, weights)
    if index is not None:
        findings += _index(name, files, index)
    return Joined(
        tuple(weights[key] for key in sorted(weights)), _container(files), tuple(findings)
    )


PARTS_GONE = "it would load to garbage without an error: take the files from their source again"


def _container(files: tuple[File, ...]) -> Container | None:
    found = {each.container for each in files} - {None, Container.SAFETENSORS}
    plain = next((each.container for each in files if each.container), None)
    return next(iter(sorted(found, key=str)), plain)


def _subclass(
    key: str, said: Mapping[str, Any], parts: Mapping[str, Part]
) -> tuple[Weight, list[str]]:
    named = said.get("_tensor_data_names")
    wanted = [str(each) for each in named] if isinstance(named, list) else ["qdata", "scale"]
    attributes = {str(name): _plain(value) for name, value in said["_data"].items()}
    dtype = attributes.get("dtype")
    weight = Weight(
        key=key,
        dtype=dtype if isinstance(dtype, str) else "",
        shape=_shape(str(said["_type"]), parts, attributes),
        parts=parts,
        classes=(str(said["_type"]),),
        attributes=attributes,
    )
    return weight, [each for each in wanted if each not in parts]


PACKED = {"Int4Tensor": 2, "NVFP4Tensor": 2, "Int4PlainInt32Tensor": 8}
"""Values in one element of `qdata`."""


def _shape(kind: str, parts: Mapping[str, Part], attributes: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of a weight, which the file does not say; empty where it is not known."""
    if "qdata" not in parts or kind == "Int4TilePackedTo4dTensor":
        return ()
    four_bits = str(attributes.get("elem_dtype", "")).startswith("float4")
    *rows, columns = parts["qdata"].shape or (1,)
    return (*rows, columns * PACKED.get(kind, 2 if four_bits else 1))


def _parts(loose: Mapping[str, Part], keys: Iterable[str]) -> dict[str, dict[str, Part]]:
    """Return the inner tensors by key and name."""
    owners = {prefix: key for key in keys for prefix in prefixes(key)}
    found: dict[str, dict[str, Part]] = {}
    for name, part in loose.items():
        prefix = next((each for each in starts(name) if each in owners), None)
        if prefix is not None:
            found.setdefault(owners[prefix], {})[name.removeprefix(prefix)] = part
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """`{"_type": "KernelPreference", "_data": "AUTO"}` as `{"KernelPreference": "AUTO"}`."""
    if depth > 6 or not isinstance(value, dict):
        return value
    if value.get("_type") == "torch.dtype":
        return value.get("_data")
    if set(value) == {"_type", "_data"}:
        return {str(value["_type"]): _plain(value["_data"], depth + 1)}
    return {name: _plain(each, depth + 1) for name, each in value.items()}


def _twice(name: str, files: tuple[File, ...]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    both = []
    for file in files:
        for key in sorted(file.keys):
            if seen.setdefault(key, file.name) != file.name:
                both.append(key)
    if both:
        yield Finding(Kind.DISAGREES, name, f"two shards hold {some(both)}", "save it again")


def _stripped(name: str, weights: Mapping[str, Weight]) -> Iterator[Finding]:
    """Inner tensors that no metadata explains."""
    lost = [
        key
        for key in weights
        if key.endswith((":qdata", ":scale", "._weight_qdata", "._weight_scale"))
    ]
    if lost:
        what = f"inner tensors that no metadata explains: {some(lost)}"
        mend = "the metadata was stripped: it loads to garbage without an error; save it again"
        yield Finding(Kind.MISSING, name, what, mend)


def _promised(
    name: str, files: tuple[File, ...], weights: Mapping[str, Weight]
) -> Iterator[Finding]:
    absent = sorted({key for file in files for key in file.promised} - weights.keys())
    if absent:
        what = f"tensors that the metadata names are in no file: {some(absent)}"
        yield Finding(Kind.MISSING, name, what, "take the files from their source again")


def _index(name: str, files: tuple[File, ...], index: Mapping[str, str]) -> Iterator[Finding]:
    readable = {each.name.rpartition("/")[2]: each.keys for each in files if each.container}
    absent = [k for k, file in index.items() if file in readable and k not in readable[file]]
    held = {key for keys in readable.values() for key in keys}
    elsewhere = [key for key in absent if key in held]
    gone = [key for key in absent if key not in held]
    if gone:
        what = f"keys that the index names are in no shard: {some(gone)}"
        yield Finding(Kind.MISSING, name, what, "take the files from their source again")
    if elsewhere:
        what = f"keys lie in another shard than the index says: {some(elsewhere)}"
        yield Finding(Kind.DISAGREES, name, what, "save it again into an empty directory")
    unnamed = sorted(held - index.keys())
    if unnamed:
        what = f"keys in the shards that the index does not name: {some(unnamed)}"
        yield Finding(Kind.DISAGREES, name, what, "save it again into an empty directory")
