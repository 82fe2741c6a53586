"""Which cases a run has: what globs and markers ask for, and what is meant without them."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

from conformance.axes import registry
from conformance.axes.base import Device, Size
from conformance.case import AHEAD, EXTRA, Case, enumerate_cases, select
from conformance.errors import UsageError
from conformance.shard import Shard

GPU = "gpu"


def marker_names(case: Case) -> tuple[str, ...]:
    """Every marker of a case: size, device, family, scheme, route and format."""
    return (*case.markers, case.scheme.name, case.route.name, case.format.name)


def described_markers() -> dict[str, str]:
    """Every marker that a case can have, with its meaning."""
    described = {
        "tiny": "models that are fastest",
        "small": "models of at least 10 M parameters",
        "full": "models of published dimensions",
        "pipeline": "tiny models inside their whole pipelines, which draw pictures",
        "cpu": "cases on CPU",
        GPU: "cases on a CUDA device",
        EXTRA: "formats and families that run only when they are asked for",
        AHEAD: "formats that export or compile ahead of time, only when they are asked for",
    }
    described |= {each.family.name: "a model family" for each in registry.subjects().values()}
    for axis in (registry.schemes(), registry.routes(), registry.formats()):
        described |= {value.name: value.title for value in axis.values()}
    return described


def candidates(globs: Iterable[str], words: Collection[str]) -> list[Case]:
    """Return the cases that globs name, see `select`; without any, tiny models on CPU.

    Other sizes, CUDA, and what is extra come in beside them when `words` name them: an extra case
    by `extra` or `ahead`, its format or its family. Whoever asks filters: `small` stands in
    `small and flux`, and in `not small`, too.

    Raises:
        UsageError: a glob matches nothing.
    """
    given = list(globs)
    if given:
        return select(given, extra=any(word in words for word in _extra_words()))
    sizes = {Size.TINY, *(size for size in Size if size in words)}
    devices = list(Device) if GPU in words else [Device.CPU]
    subjects = [each for each in registry.subjects().values() if each.size in sizes]
    return [case for case in enumerate_cases(subjects, devices) if _asked(case, words)]


def _extra_words() -> set[str]:
    """Every word that asks for something extra."""
    forms = (each.name for each in registry.formats().values() if not each.usual)
    families = (s.family.name for s in registry.subjects().values() if s.family.extra)
    return {EXTRA, AHEAD, *forms, *families}


def _asked(case: Case, words: Collection[str]) -> bool:
    if not case.extra:
        return True
    name = case.subject.family.name if case.format.usual else case.format.name
    return name in words or case.markers[-1] in words


def chosen(globs: Iterable[str], markers: Collection[str]) -> list[Case]:
    """Return the cases that globs name and that have all the markers.

    Raises:
        UsageError: a glob or marker matches nothing.
    """
    known = described_markers()
    for marker in markers:
        if marker not in known:
            raise UsageError(_unknown(marker, known))
    cases = candidates(globs, markers)
    for marker in markers:
        cases = [case for case in cases if marker in marker_names(case)]
        if not cases:
            raise UsageError(f"no case is left with --marker {marker}; ask for fewer markers")
    return cases


def part(cases: Sequence[Case], shard: Shard | None) -> list[Case]:
    """Return the cases of one shard; None for all of them.

    Groups are dealt out in turn, so that each is whole in one shard and every machine that is
    asked for the same cases deals them alike.

    Raises:
        UsageError: there are more shards than groups, and none is left for this one.
    """
    if shard is None:
        return list(cases)
    groups = {group: place for place, group in enumerate(dict.fromkeys(c.group for c in cases))}
    if shard.index > len(groups):
        raise UsageError(
            f"shard {shard} is empty: there are {len(groups)} groups of cases; "
            f"use at most --shard {len(groups)}/{len(groups)}"
        )
    return [case for case in cases if groups[case.group] % shard.count == shard.index - 1]


def _unknown(marker: str, known: Iterable[str]) -> str:
    near = get_close_matches(marker, known, n=3, cutoff=0.5)
    mend = f"did you mean {' or '.join(near)}?" if near else "`pytest --markers` prints them"
    return f"no marker {marker!r}; {mend}"
