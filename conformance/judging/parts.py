"""Runs in parts: shards that several machines ran, and a run that was broken off."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.errors import UsageError
from conformance.judging.results import (
    Begun,
    Header,
    Results,
    parse_cases,
    parse_header,
    parse_line,
)
from conformance.shard import Shard

DECISIVE = ("python", "gpu")
"""The facts of a machine that must agree; processor, memory and kernel may differ in a run."""


def disagreement(one: Header, other: Header) -> str:
    """Say in few words in what two parts of a run differ first; empty when they belong together.

    Which shard a part is, and how many cases it has, is not asked.
    """
    if one.suite != other.suite:
        return f"suite {one.suite} and {other.suite}"
    facts = (one.versions, other.versions), (_decisive(one), _decisive(other))
    for ours, theirs in facts:
        for name in dict.fromkeys((*ours, *theirs)):
            pair = ours.get(name, "none"), theirs.get(name, "none")
            if pair[0] != pair[1]:
                return f"{name} {pair[0]} and {pair[1]}"
    if replace(one.selection, shard=None) != replace(other.selection, shard=None):
        return "other globs, markers or device"
    return ""


def _decisive(header: Header) -> dict[str, str]:
    return {name: header.hardware[name] for name in DECISIVE if name in header.hardware}


@dataclass(frozen=True)
class _Part:
    name: str
    results: Results
    shard: Shard


def merged_header(files: Mapping[str, Results]) -> Header:
    """Return the header of the whole run, whose shards are given by the names of their files.

    Raises:
        UsageError: they are not all the shards of one run, each once and whole.
    """
    parts = [_part(name, results) for name, results in files.items()]
    if not parts:
        raise UsageError("no results file is given; name the file of every shard")
    first = parts[0]
    for part in parts[1:]:
        _same_run(first, part)
    _each_once(parts)
    _no_case_twice(parts)
    headers = [part.results.header for part in parts]
    return replace(
        headers[0],
        hardware=_joined([header.hardware for header in headers]),
        selection=replace(headers[0].selection, shard=None),
        planned=sum(header.planned for header in headers),
        started=min(header.started for header in headers),
    )


def _part(name: str, results: Results) -> _Part:
    shard, planned = results.header.selection.shard, results.header.planned
    if shard is None:
        raise UsageError(f"{name} is no shard; write shards with `conformance run --shard 1/2`")
    if not results.footer.complete:
        raise UsageError(
            f"{name} is partial: {len(results.cases)} of {planned} cases; "
            "finish it with `conformance run --resume`"
        )
    return _Part(name, results, shard)


def _same_run(one: _Part, other: _Part) -> None:
    what = disagreement(one.results.header, other.results.header)
    if not what and one.shard.count != other.shard.count:
        what = f"shard {one.shard} and {other.shard}"
    if what:
        raise UsageError(
            f"{one.name} and {other.name} are not of one run: {what}; "
            "run every shard with the same command in the same environment"
        )


def _each_once(parts: list[_Part]) -> None:
    seen: dict[Shard, str] = {}
    for part in parts:
        if part.shard in seen:
            raise UsageError(
                f"{seen[part.shard]} and {part.name} are both shard {part.shard}; give one of them"
            )
        seen[part.shard] = part.name
    count = parts[0].shard.count
    every = [Shard(count, index) for index in range(1, count + 1)]
    lacking = [str(shard) for shard in every if shard not in seen]
    if lacking:
        raise UsageError(f"no file is shard {', '.join(lacking)}; run it, and merge them all")


def _no_case_twice(parts: list[_Part]) -> None:
    holders: dict[str, str] = {}
    for part in parts:
        for case in part.results.cases:
            if case in holders:
                raise UsageError(
                    f"the case {case} is in {holders[case]} and in {part.name}; "
                    "run every shard with one version of the suite"
                )
            holders[case] = part.name


def _joined(facts: list[Mapping[str, str]]) -> dict[str, str]:
    """Keep what all machines have in common, and list what they have not."""
    names = dict.fromkeys(name for each in facts for name in each)
    return {
        name: " | ".join(dict.fromkeys(each[name] for each in facts if name in each))
        for name in names
    }


def read_begun(path: Path) -> Begun:
    """Read what is whole of a results file; a footer, and a last line that is cut, are left out.

    Raises:
        UsageError: it is missing, of another schema version, or damaged before its last line.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise UsageError(
            f"cannot resume {path}: {error.strerror or error}; leave --resume out to start anew"
        ) from None
    if not lines or not lines[0].endswith(b"\n"):
        raise UsageError(f"{path} has no whole first line; leave --resume out to start anew")
    header = parse_header(
        path, parse_line(path, 1, lines[0].decode("utf-8", "replace"), len(lines))
    )
    whole = list(_whole_lines(path, lines))
    cases = parse_cases(path, (data for data, _ in whole))
    return Begun(header, cases, len(lines[0]) + sum(length for _, length in whole))


def _whole_lines(path: Path, lines: list[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    for number, line in enumerate(lines[1:], 2):
        if number == len(lines) and not line.endswith(b"\n"):
            return
        data = parse_line(path, number, line.decode("utf-8", "replace"), len(lines))
        if data.get("line") == "footer" and number == len(lines):
            return
        yield data, len(line)
