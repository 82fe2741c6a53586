"""Which cases a run has: what globs and markers ask for, and what is meant without them."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from conformance.axes import registry
from conformance.axes.base import Device, Size
from conformance.case import Case, default_cases, enumerate_cases, select
from conformance.errors import UsageError

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
        "cpu": "cases on CPU",
        GPU: "cases on a CUDA device",
    }
    described |= {each.family.name: "a model family" for each in registry.subjects().values()}
    for axis in (registry.schemes(), registry.routes(), registry.formats()):
        described |= {value.name: value.title for value in axis.values()}
    return described


def candidates(globs: Iterable[str], words: Collection[str]) -> list[Case]:
    """Return the cases that globs name; without any, tiny models on CPU.

    Other sizes and CUDA come in beside them when `words` name them. Whoever asks filters: `small`
    stands in `small and flux`, and in `not small`, too.

    Raises:
        UsageError: a glob matches nothing.
    """
    given = list(globs)
    if given:
        return select(given)
    sizes = {Size.TINY, *(size for size in Size if size in words)}
    devices = [Device.CPU, *([Device.CUDA] if GPU in words else [])]
    if sizes == {Size.TINY} and devices == [Device.CPU]:
        return default_cases()
    subjects = [each for each in registry.subjects().values() if each.size in sizes]
    return list(enumerate_cases(subjects, devices))


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


def _unknown(marker: str, known: Iterable[str]) -> str:
    near = get_close_matches(marker, known, n=3, cutoff=0.5)
    mend = f"did you mean {' or '.join(near)}?" if near else "`pytest --markers` prints them"
    return f"no marker {marker!r}; {mend}"
