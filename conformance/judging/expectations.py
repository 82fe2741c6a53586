"""Declared outcomes, read from TOML files. Strict: what cannot match or is not read is an error.

    [[expectation]]
    name = "quantize-route-refuses-safetensors"
    kind = "unsupported"
    cases = ["*.quantize_.safetensors*.cpu"]
    versions = { torchao = ">=0.15,<0.19" }
    stage = "save"
    raises = "ValueError"
    match = "not supported"
    reason = "Only the TorchAoConfig route can flatten its tensors for safetensors."

`except` is a list of globs on cases that it is not about all the same. In place of `raises` and
`match` (and `leftovers`) stand `check` and `what` (and `path`) for a finding, or `no_result` (and a
`match` of its reason) for a case that ends without a verdict. A boundary between releases that must
hold for pre-releases too is written `<0.19.dev0` and `>=0.19.dev0`: PEP 440 puts `0.19.0.dev1`
neither in `<0.19` nor in `>=0.19`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from conformance import environment
from conformance._compat import StrEnum
from conformance.errors import UsageError
from conformance.judging.entry import Entry, read_entries
from conformance.judging.excuses import Differs, Ends, Excuse, Raises
from conformance.roundtrip.outcome import NoResultKind, Reader, Stage

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

DISTRIBUTIONS = frozenset(map(canonicalize_name, (*environment.DISTRIBUTIONS, environment.PYTHON)))
"""What `versions` may name: what is observed, so that no name can switch an expectation off."""

NONE_FOUND = "none found"
"""Stands for the link of a known bug of which upstream has no issue."""

REFUSABLE = (Stage.RESOLVE, Stage.BUILD, Stage.QUANTIZE, Stage.SAVE)
"""The stages in which a refusal can come before anything is written."""


class Kind(StrEnum):
    """Why a case is expected not to pass."""

    UNSUPPORTED = "unsupported"
    """The libraries must refuse, clearly and with nothing left behind."""
    KNOWN_BUG = "known-bug"
    """It must fail with this signature; an issue says so."""
    FLAKY = "flaky"
    """It may pass, or fail as described."""


@dataclass(frozen=True)
class Expectation:
    """A declared outcome for some cases under some versions."""

    name: str
    kind: Kind
    cases: tuple[str, ...]
    """Globs on case ids."""
    exceptions: tuple[str, ...]
    """Globs on ids of cases that it is not about all the same; `except` in TOML."""
    excuse: Excuse
    reason: str
    versions: Mapping[str, SpecifierSet]
    """Distribution -> versions, all of which must hold for what is installed."""
    issue: str = ""
    searched: str = ""
    """Where an issue was looked for in vain."""

    def about(self, case_id: str) -> bool:
        """Does one of the globs match this case, and no exception?"""
        return self._named(case_id) is not None and self._excepted(case_id) is None

    @cached_property
    def _named(self) -> Matcher:
        return _any(self.cases)

    @cached_property
    def _excepted(self) -> Matcher:
        return _any(self.exceptions)

    @property
    def bounds(self) -> str:
        """The version sets on one line; empty when it holds for all."""
        return " and ".join(f"{name}{versions}" for name, versions in self.versions.items())

    def holds_for(self, versions: Mapping[str, str]) -> bool:
        """Do all the version sets hold? A distribution that is not installed is in none.

        Raises:
            UsageError: an observed version is not a PEP 440 version.
        """
        observed = {str(canonicalize_name(name)): version for name, version in versions.items()}
        return all(
            name in observed
            and specifiers.contains(_version(name, observed[name]), prereleases=True)
            for name, specifiers in self.versions.items()
        )


Matcher = Callable[[str], "re.Match[str] | None"]


def _any(globs: Iterable[str]) -> Matcher:
    """Return what matches the ids that one of the globs matches: asked of every case."""
    return re.compile("|".join(map(translate, globs)) or r"(?!)").match


def packaged() -> tuple[Traversable, ...]:
    """Return the suite's own expectation files, in the order of their names."""
    folder = files("conformance.judging") / "expectations"
    if not folder.is_dir():
        return ()
    own = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return tuple(sorted(own, key=lambda file: file.name))


def load_expectations(
    paths: Iterable[Path | Traversable], checks: Collection[str], case_ids: Collection[str] | None
) -> tuple[Expectation, ...]:
    """Read the files, in their order; `checks` and `case_ids` are all that there are.

    Without `case_ids` globs are not checked: an installed suite has no golden files, and yet
    explains what is declared of them.

    Raises:
        UsageError: a file cannot be read, or an entry is wrong in any way.
    """
    found: dict[str, tuple[str, Expectation]] = {}
    for path in paths:
        for entry in read_entries(path, "expectation"):
            expectation = _expectation(entry, checks, case_ids)
            if expectation.name in found:
                raise entry.wrong(
                    f"the name is taken in {found[expectation.name][0]}; choose another"
                )
            found[expectation.name] = (entry.file, expectation)
    return tuple(expectation for _, expectation in found.values())


def active(
    expectations: Iterable[Expectation], versions: Mapping[str, str]
) -> tuple[Expectation, ...]:
    """Return those that hold for the observed versions; pre-releases count.

    Raises:
        UsageError: an observed version is not a PEP 440 version.
    """
    return tuple(each for each in expectations if each.holds_for(versions))


def _version(distribution: str, text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"{distribution} says that its version is {text!r}, which is not a PEP 440 version; "
            "install a release or a nightly build"
        ) from None


def _expectation(
    entry: Entry, checks: Collection[str], case_ids: Collection[str] | None
) -> Expectation:
    kind = entry.member("kind", Kind)
    expectation = Expectation(
        name=entry.name(),
        kind=kind,
        cases=entry.globs("cases", case_ids),
        exceptions=entry.globs("except", case_ids) if entry.has("except") else (),
        excuse=_excuse(entry, kind, checks),
        reason=entry.required("reason"),
        versions={
            entry.known(canonicalize_name(name), DISTRIBUTIONS, "distribution"): specifiers
            for name, specifiers in entry.specifiers("versions").items()
        },
        issue=issue_of(entry, kind),
        searched=entry.text("searched"),
    )
    entry.close()
    return expectation


def _excuse(entry: Entry, kind: Kind, checks: Collection[str]) -> Excuse:
    given = [key for key in ("raises", "check", "no_result") if entry.has(key)]
    if len(given) != 1:
        raise entry.wrong('give exactly one of "raises", "check" and "no_result"')
    if kind is Kind.UNSUPPORTED and given != ["raises"]:
        raise entry.wrong('kind "unsupported" is a refusal; give "raises" and "match"')
    if given == ["raises"]:
        return _raises(entry, kind)
    return _differs(entry, checks) if given == ["check"] else _ends(entry)


def _raises(entry: Entry, kind: Kind) -> Raises:
    refusal = kind is Kind.UNSUPPORTED
    stage = entry.member("stage", Stage)
    leftovers = entry.texts("leftovers")
    if refusal and stage not in REFUSABLE:
        raise entry.wrong(f"a refusal at {stage} comes too late; kind must be known-bug")
    if refusal and leftovers:
        raise entry.wrong("a refusal leaves nothing behind; kind must be known-bug")
    return Raises(
        stage=stage,
        type=entry.required("raises"),
        match=entry.pattern("match"),
        leftovers=() if refusal else leftovers,
        reader=entry.optional_member("reader", Reader),
    )


def _differs(entry: Entry, checks: Collection[str]) -> Differs:
    return Differs(
        stage=entry.member("stage", Stage),
        check=entry.known(entry.required("check"), checks, "check"),
        what=entry.pattern("what"),
        path=entry.pattern("path") if entry.has("path") else None,
        reader=entry.optional_member("reader", Reader),
    )


def _ends(entry: Entry) -> Ends:
    kind = entry.member("no_result", NoResultKind)
    if kind is NoResultKind.SKIPPED:
        raise entry.wrong("a skipped case needs no expectation; delete it")
    match = entry.pattern("match") if entry.has("match") else None
    return Ends(kind, entry.optional_member("stage", Stage), match)


def issue_of(entry: Entry, kind: Kind) -> str:
    """Return the link of an entry, or that none was found, which wants to know where.

    Raises:
        UsageError: neither is given, or both.
    """
    issue, searched = entry.text("issue"), entry.text("searched")
    if (issue == NONE_FOUND) != bool(searched):
        raise entry.wrong(
            f'issue = "{NONE_FOUND}" and "searched" go together; say where you looked, or link'
        )
    if kind is Kind.KNOWN_BUG and not issue:
        raise entry.wrong(f'a known bug needs an "issue": an https link, or "{NONE_FOUND}"')
    if issue not in ("", NONE_FOUND) and not issue.startswith("https://"):
        raise entry.wrong(f'"issue" is {issue!r}; give an https link')
    return issue
