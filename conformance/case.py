"""A case: one value of every axis. Ids are built here and parsed nowhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, cached_property
from itertools import product

from conformance.axes import registry
from conformance.axes.base import Device, Format, Route, Scheme, Size, Subject
from conformance.errors import UsageError

EXTRA = "extra"
AHEAD = "ahead"


@dataclass(frozen=True)
class Case:
    """Subject x scheme x route x format x device."""

    subject: Subject
    scheme: Scheme
    route: Route
    format: Format
    device: Device

    @cached_property
    def id(self) -> str:
        """Readable, sortable and shell-safe: `flux-tiny.int8wo.quantize_.pickle.cpu`."""
        return ".".join(
            (self.subject.name, self.scheme.name, self.route.name, self.format.name, self.device)
        )

    @property
    def group(self) -> str:
        """Cases of one group share a built model; a worker takes a whole group."""
        return f"{self.subject.name}.{self.scheme.name}.{self.device}"

    @property
    def quantized(self) -> str:
        """Cases that share it share one quantized model."""
        writer = self.device.writer
        return f"{self.subject.name}.{self.scheme.name}.{self.route.name}.{writer}"

    @property
    def markers(self) -> tuple[str, ...]:
        """The pytest markers of this case: size, device, family, and why it is extra."""
        device = "cpu" if self.device is Device.CPU else "gpu"
        extra = (AHEAD,) if self.format.ahead else (EXTRA,) if self.extra else ()
        return (str(self.subject.size), device, self.subject.family.name, *extra)

    @property
    def extra(self) -> bool:
        """Is it one of those that run only when they are asked for?"""
        return not self.format.usual or self.subject.family.extra


def enumerate_cases(
    subjects: Iterable[Subject] | None = None, devices: Iterable[Device] = tuple(Device)
) -> Iterator[Case]:
    """Yield every valid case, ordered so that the cases of a group follow each other."""
    for subject in registry.subjects().values() if subjects is None else subjects:
        routes, forms = ways_of(subject)
        for scheme in registry.schemes().values():
            if not _goes_with(subject, scheme):
                continue
            for device in devices:
                for route, form in product(routes, _forms(forms, subject, scheme, device)):
                    yield Case(subject, scheme, route, form, device)


def _forms(
    forms: Iterable[Format], subject: Subject, scheme: Scheme, device: Device
) -> list[Format]:
    """Return those of a subject's formats that go with a scheme and a device."""
    found = [form for form in forms if form.schemes is None or scheme.name in form.schemes]
    if not device.crossed:
        return found
    return [form for form in found if form.crosses and subject.size is Size.TINY]


def _goes_with(subject: Subject, scheme: Scheme) -> bool:
    """Is there a case of both? A picture is drawn where it is known how good it must be."""
    if subject.pipeline is not None and scheme.likeness is None:
        return False
    return subject.schemes is None or scheme.name in subject.schemes


def ways_of(subject: Subject) -> tuple[list[Route], list[Format]]:
    """Return the routes that a subject can go, and its formats: a whole pipeline needs one."""
    routes = registry.routes().values()
    possible = [each for each in routes if subject.pipeline is not None or not each.whole]
    return possible, formats_of(subject)


def formats_of(subject: Subject) -> list[Format]:
    """Return the formats that a subject is saved in."""
    if subject.formats is None:
        return [each for each in registry.formats().values() if _is_of_models(each)]
    return [each for each in registry.formats().values() if each.name in subject.formats]


def _is_of_models(form: Format) -> bool:
    return form.shard_bytes is None and not form.whole


@cache
def all_cases() -> dict[str, Case]:
    """Every case by id."""
    return {case.id: case for case in enumerate_cases()}


@cache
def all_ids() -> tuple[str, ...]:
    """Every id, those of little models on CPU first: most globs find one of them, and early."""
    large = (Size.SMALL, Size.FULL)
    cases = all_cases().values()
    first = sorted(
        cases, key=lambda case: (case.device is not Device.CPU, case.subject.size in large)
    )
    return tuple(case.id for case in first)


def default_cases() -> list[Case]:
    """The cases of a run that asks for nothing else: tiny models on CPU, and nothing extra."""
    return list(_default_cases())


@cache
def _default_cases() -> tuple[Case, ...]:
    tiny = [each for each in registry.subjects().values() if each.size is Size.TINY]
    return tuple(case for case in enumerate_cases(tiny, [Device.CPU]) if not case.extra)


def require_inert(cases: Iterable[Case]) -> None:
    """See that reading these executes nothing that is in a file which may come from elsewhere.

    Raises:
        UsageError: a case is loaded by executing its file.
    """
    for case in cases:
        if case.format.executes:
            raise UsageError(
                f"{case.id}: loading it executes what is in the file, so only the run that wrote "
                "it may; use `conformance run`"
            )


@cache
def default_formats() -> tuple[str, ...]:
    """The formats of default cases by name: those with shards of gigabytes are not among them."""
    return tuple(dict.fromkeys(case.format.name for case in default_cases()))


@cache
def default_routes() -> tuple[str, ...]:
    """The routes of default cases by name: those of whole pipelines are not among them."""
    return tuple(dict.fromkeys(case.route.name for case in default_cases()))


def find(case_id: str) -> Case:
    """Return the case with this id.

    Raises:
        UsageError: there is none.
    """
    try:
        return all_cases()[case_id]
    except KeyError:
        raise UsageError(f"no case {case_id!r}; {_mend(case_id)}") from None


def select(
    globs: Iterable[str], cases: Iterable[Case] | None = None, *, extra: bool = False
) -> list[Case]:
    """Return the cases whose id matches one of the globs, in enumeration order.

    A glob that reaches usual cases means those alone; an extra case is meant by a glob that
    reaches nothing else, as one with its name does, or by all of them with `extra`.

    Raises:
        UsageError: a glob matches no case.
    """
    pool = list(all_cases().values() if cases is None else cases)
    chosen: set[str] = set()
    for glob in globs:
        matched = [case for case in pool if fnmatchcase(case.id, glob)]
        if not matched:
            raise UsageError(f"{glob!r} matches no case; {_mend(glob)}")
        meant = matched if extra else [case for case in matched if not case.extra] or matched
        chosen |= {case.id for case in meant}
    return [case for case in pool if case.id in chosen]


def _mend(text: str) -> str:
    """Return what to do about an id or a glob that is none: another spelling, if there is one."""
    axes = (registry.subjects(), registry.schemes(), registry.routes(), registry.formats())
    known = [*(name for axis in axes for name in axis), *map(str, Device)]
    spelled = ".".join(_spelled(word, known) for word in text.split("."))
    if spelled != text and any(fnmatchcase(each, spelled) for each in all_ids()):
        return f"did you mean {spelled!r}?"
    return "`conformance list` prints the ids"


def _spelled(word: str, known: Sequence[str]) -> str:
    if word in known or any(each in word for each in "*?["):
        return word
    return next(iter(get_close_matches(word, known, n=1)), word)
