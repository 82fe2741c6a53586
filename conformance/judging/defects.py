"""The catalogue of known defects: expectations that have one cause, where they hold, what helps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.errors import UsageError
from conformance.judging.entry import Entry, read_entries
from conformance.judging.excuses import Differs, Raises
from conformance.judging.expectations import NONE_FOUND, Expectation
from conformance.judging.measured import Measured, Sample

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Group:
    """Expectations that are one defect; what is in no group is a defect of its own."""

    name: str
    expectations: tuple[str, ...]


@dataclass(frozen=True)
class Workaround:
    """What was measured to help."""

    name: str
    defects: tuple[str, ...]
    says: str
    cases: tuple[str, ...] = ()
    """Cases whose results show it: each loads, with equal bits and outputs."""
    script: str = ""
    """Path, in a checkout, of a script that shows defect and workaround, and exits with 0."""
    under: str = ""
    """The environment in which the script runs; empty for what is installed."""


@dataclass(frozen=True)
class Part:
    """One expectation with what was measured of it."""

    expectation: Expectation
    measured: Measured

    @property
    def symptom(self) -> str:
        """What somebody sees."""
        excuse = self.expectation.excuse
        if isinstance(excuse, Raises):
            left = f", leaving {', '.join(excuse.leftovers)} behind" if excuse.leftovers else ""
            return f"{excuse.stage} raises {excuse.type}{left}"
        if isinstance(excuse, Differs) and not self.expectation.cases:
            return f"{excuse.stage} raises nothing: {self.text}"
        if isinstance(excuse, Differs):
            return f"it loads, and the check {excuse.check} finds at {excuse.stage}: {self.text}"
        return f"it ends as {excuse}"

    @property
    def text(self) -> str:
        """The exact message, of the newest versions that said it; else the declared pattern."""
        if self.measured.samples:
            return self.measured.samples[0].message
        excuse = self.expectation.excuse
        if isinstance(excuse, Raises):
            return excuse.match.pattern
        return excuse.what.pattern if isinstance(excuse, Differs) else ""

    @property
    def key_line(self) -> str:
        """The line of the message that tells it from others; torch says much that is alike."""
        lines = [each.strip() for each in self.text.splitlines() if each.strip()]
        excuse = self.expectation.excuse
        telling = (
            line for line in lines if isinstance(excuse, Raises) and excuse.match.search(line)
        )
        return next(telling, lines[0] if lines else "")


@dataclass(frozen=True)
class Defect:
    """One entry of the catalogue."""

    name: str
    parts: tuple[Part, ...]
    workarounds: tuple[Workaround, ...] = ()

    @property
    def issues(self) -> tuple[str, ...]:
        """The links upstream."""
        links = (each.expectation.issue for each in self.parts)
        return tuple(dict.fromkeys(link for link in links if link not in ("", NONE_FOUND)))

    @property
    def searched(self) -> tuple[str, ...]:
        """What was searched for where no link was found."""
        return tuple(dict.fromkeys(e.expectation.searched for e in self.parts if not self.issues))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Everything that was measured to be said."""
        return tuple(sample for part in self.parts for sample in part.measured.samples)


def load_groups(path: Path | Traversable, known: Collection[str]) -> tuple[Group, ...]:
    """Read which expectations are one defect.

    Raises:
        UsageError: an entry is wrong, names an unknown expectation, or one that is in another.
    """
    taken: dict[str, str] = {}
    found = []
    for entry in read_entries(path, "defect"):
        names = _names(entry, "expectations", known, "expectation")
        for name in names:
            if name in taken:
                raise entry.wrong(f"{name} is in {taken[name]} already; take it out of one")
        group = Group(entry.name(), names)
        taken |= dict.fromkeys(names, group.name)
        entry.close()
        found.append(group)
    return tuple(found)


def load_workarounds(
    path: Path | Traversable, defects: Collection[str], case_ids: Collection[str]
) -> tuple[Workaround, ...]:
    """Read what helps against which defects.

    Raises:
        UsageError: an entry is wrong, names what is not known, or has no proof.
    """
    found = []
    for entry in read_entries(path, "workaround"):
        workaround = Workaround(
            name=entry.name(),
            defects=_names(entry, "defects", defects, "defect"),
            says=entry.required("says"),
            cases=tuple(_case(entry, case, case_ids) for case in entry.texts("cases") or ()),
            script=entry.text("script"),
            under=entry.text("under"),
        )
        if not workaround.cases and not workaround.script:
            raise entry.wrong('nothing shows that it works; give "cases" or a "script"')
        entry.close()
        found.append(workaround)
    return tuple(found)


def _case(entry: Entry, case: str, case_ids: Collection[str]) -> str:
    """Check a case, or the case of a golden file: `case@versions~way`."""
    entry.known(case.partition("@")[0], case_ids, "case")
    return case


def _names(entry: Entry, key: str, known: Collection[str], meaning: str) -> tuple[str, ...]:
    names = entry.texts(key)
    if not names:
        raise entry.wrong(f'the key "{key}" is missing; list at least one {meaning}')
    return tuple(entry.known(name, known, meaning) for name in names)


def names_of(expectations: Iterable[Expectation], groups: Iterable[Group]) -> tuple[str, ...]:
    """Return the names of the defects: the groups, and every expectation that is in none."""
    groups = tuple(groups)
    grouped = {name for group in groups for name in group.expectations}
    alone = (each.name for each in expectations if each.name not in grouped)
    return (*(group.name for group in groups), *alone)


def catalogue(
    expectations: Iterable[Expectation],
    groups: Iterable[Group],
    workarounds: Iterable[Workaround],
    measured: Mapping[str, Measured],
) -> tuple[Defect, ...]:
    """Put together one entry a defect, in the order of the expectations.

    Within an entry its group's order counts: what most people meet comes first there.

    Raises:
        UsageError: a group has the name of an expectation of another defect.
    """
    parts = {each.name: Part(each, measured.get(each.name, Measured())) for each in expectations}
    groups = tuple(groups)
    for group in groups:
        if group.name in parts and group.name not in group.expectations:
            raise UsageError(f"defect {group.name!r} is the name of an expectation; choose another")
    of = {name: group.name for group in groups for name in group.expectations}
    members: dict[str, list[Part]] = {}
    for name, part in parts.items():
        members.setdefault(of.get(name, name), []).append(part)
    place = {name: at for group in groups for at, name in enumerate(group.expectations)}
    for found in members.values():
        found.sort(key=lambda part: place.get(part.expectation.name, 0))
    helping = tuple(workarounds)
    return tuple(
        Defect(name, tuple(found), tuple(each for each in helping if name in each.defects))
        for name, found in members.items()
    )
