"""Subjects from outside the package: what other installed distributions declare.

    [project.entry-points."conformance.subjects"]
    mine = "mypackage.subjects:SUBJECTS"

An entry point names a `Subject`, or several. It is imported whenever cases are named, so what it
names must import no torch.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from conformance.axes.base import SEGMENT, Subject
from conformance.axes.quantization import one_line
from conformance.errors import UsageError

GROUP = "conformance.subjects"


def subjects(own: Mapping[str, Subject]) -> dict[str, Subject]:
    """Return the subjects of installed entry points by name, in the order of these.

    Args:
        own: the subjects of the suite by name.

    Raises:
        UsageError: an entry point cannot be loaded, names something else, or a name that is taken.
    """
    found: dict[str, Subject] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        for subject in _declared(point):
            _refuse_what_is_taken(point, subject, {**own, **found})
            found[subject.name] = subject
    return found


def _declared(point: EntryPoint) -> Iterator[Subject]:
    try:
        loaded = point.load()
    except Exception as error:
        raise _wrong(point, f"cannot be loaded: {one_line(error)}") from error
    values = loaded if isinstance(loaded, Iterable) else (loaded,)
    for value in values:
        if not isinstance(value, Subject):
            raise _wrong(point, f"names {value!r}, which is no conformance.axes.base.Subject")
        yield value


def _refuse_what_is_taken(
    point: EntryPoint, subject: Subject, others: Mapping[str, Subject]
) -> None:
    if not SEGMENT.fullmatch(subject.name):
        raise _wrong(point, f"declares {subject.name!r}, which cannot be a segment of a case id")
    if subject.name in others:
        raise _wrong(point, f"declares {subject.name}, which is taken")
    families = {each.family.name: each.family for each in others.values()}
    family = subject.family
    if families.get(family.name, family) != family:
        raise _wrong(point, f"declares the family {family.name}, which is taken")


def _wrong(point: EntryPoint, what: str) -> UsageError:
    distribution = point.dist.name if point.dist else "an unknown distribution"
    return UsageError(
        f"the entry point {point.name} = {point.value} of {distribution} {what}; "
        f"mend it there, or uninstall {distribution}"
    )
