"""Environments as data: named in a TOML file, or ad hoc on a command line.

    [ad_hoc]
    requirements = ["torch==2.13.0"]

    [[environment]]
    name = "torchao0.17.0"
    requirements = ["torch==2.13.0", "torchao==0.17.0", "diffusers==0.42.1"]

`title`, `python` ("3.11"), `heavy` (made only when it is named) and `suite` (a requirement that
stands in the place of the running suite) may be left out. The requirements of `ad_hoc` are in every
ad hoc environment that does not name the package itself.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from conformance._compat import tomllib
from conformance.errors import UsageError
from conformance.judging.entry import Entry
from conformance.versions.shipped import shipped

ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(frozen=True)
class Environment:
    """What must be installed together."""

    name: str
    requirements: tuple[str, ...]
    """PEP 508; a local file is written `name @ file:///...`."""
    title: str = ""
    python: str = ""
    """As uv takes it: `3.11`. Empty for the Python that runs now."""
    heavy: bool = False
    """Brings gigabytes; made only when it is named."""
    suite: str = ""
    """A requirement installed in the place of the running suite."""


@dataclass(frozen=True)
class Environments:
    """The environments of one file."""

    file: str
    named: Mapping[str, Environment]
    ad_hoc: tuple[str, ...] = field(default=())
    """Requirements of every ad hoc environment that does not name the package."""


def load_environments(path: Path | None = None) -> Environments:
    """Read a file of environments; without a path those that come with the suite.

    Raises:
        UsageError: the file cannot be read, or says something that cannot be meant.
    """
    path = path or shipped("ci/environments.toml")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read the environments {path}: {error}; name a TOML file"
        ) from None
    top = Entry(path.name, 0, {**tables, "name": "file"}, "the")
    for key in ("name", "ad_hoc", "environment"):
        top.has(key)
    top.close()
    ad_hoc = _requirements(_entry(path, 0, tables.get("ad_hoc", {}), "table"), path)
    named: dict[str, Environment] = {}
    for number, table in enumerate(_tables(path, tables), start=1):
        environment = _environment(_entry(path, number, table, "environment"), path)
        if environment.name in named:
            raise UsageError(
                f"{path.name}: two environments are named {environment.name!r}; rename one"
            )
        named[environment.name] = environment
    return Environments(path.name, named, ad_hoc)


def _tables(path: Path, tables: Mapping[str, Any]) -> list[Any]:
    listed = tables.get("environment", [])
    if not isinstance(listed, list):
        raise UsageError(f"{path.name}: write [[environment]] with two brackets")
    return listed


def _entry(path: Path, number: int, table: object, what: str) -> Entry:
    if not isinstance(table, dict):
        raise UsageError(f"{path.name}: {what} {number} must be a table: mend it there")
    return Entry(path.name, number, table, what)


def _environment(entry: Entry, path: Path) -> Environment:
    suite = entry.text("suite")
    found = Environment(
        name=entry.name(),
        title=entry.text("title"),
        python=entry.text("python"),
        heavy=entry.flag("heavy"),
        suite=str(requirement(suite, path.parent)) if suite else "",
        requirements=_requirements(entry, path),
    )
    if not found.requirements:
        raise entry.wrong('the key "requirements" is missing or empty; list what to install')
    return found


def _requirements(entry: Entry, path: Path) -> tuple[str, ...]:
    texts = entry.texts("requirements") or ()
    entry.close()
    try:
        return tuple(str(requirement(text, path.parent)) for text in texts)
    except UsageError as error:
        raise entry.wrong(str(error)) from None


def requirement(text: str, base: Path) -> Requirement:
    """Parse a requirement, or the path of a wheel or source archive seen from a directory.

    Raises:
        UsageError: it is neither.
    """
    if text.endswith(ARCHIVES) and "://" not in text:
        return _local(text, base)
    try:
        return Requirement(text)
    except InvalidRequirement:
        pass
    if (base / text).is_dir():
        raise UsageError(f"{text!r} is a directory; build a wheel of it and name that")
    raise UsageError(
        f'{text!r} is no requirement; write one like "torchao==0.17.0" without spaces,'
        ' "torchao @ git+https://..." or "./torchao-0.19.0-py3-none-any.whl"'
    )


def _local(text: str, base: Path) -> Requirement:
    name, _, place = text.rpartition(" @ ")
    path = (base / Path(place.strip()).expanduser()).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {text!r}; give the path of a wheel")
    return Requirement(f"{name or _archive(path.name)[0]} @ {path.as_uri()}")


def _archive(file: str) -> tuple[str, str]:
    """Return the distribution and the version that a file name says."""
    try:
        if file.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file)
        else:
            name, version = parse_sdist_filename(file)
    except (InvalidWheelFilename, InvalidSdistFilename) as error:
        raise UsageError(
            f"{file} is not named like a wheel or source archive: {error}; rename it"
        ) from None
    return str(name), str(version)


def local_file(parsed: Requirement) -> Path | None:
    """Return the local file that a requirement names."""
    if parsed.url is None or not parsed.url.startswith("file:"):
        return None
    return Path(unquote(urlparse(parsed.url).path))


def wanted(environment: Environment) -> dict[str, SpecifierSet]:
    """Return what the installed versions must be; an archive must be what its name says."""
    asked: dict[str, SpecifierSet] = {}
    for text in environment.requirements:
        parsed = Requirement(text)
        file = parsed.url.rpartition("/")[2].partition("#")[0] if parsed.url else ""
        named = file.endswith(ARCHIVES) and file.count("-") > 0
        versions = SpecifierSet(f"=={_archive(unquote(file))[1]}") if named else parsed.specifier
        name = str(canonicalize_name(parsed.name))
        asked[name] = asked.get(name, SpecifierSet()) & versions
    return asked


def find(text: str, known: Environments, base: Path | None = None) -> Environment:
    """Return the environment of this name, or the ad hoc one of these requirements.

    Args:
        text: a name, or requirements separated by spaces.
        known: the named environments.
        base: where relative paths start; the current directory when left out.

    Raises:
        UsageError: it is neither.
    """
    if text in known.named:
        return known.named[text]
    if not re.search(r"[=<>~@]|\.whl\b|\.tar\.gz\b|\.zip\b", text):
        near = get_close_matches(text, known.named, n=1)
        mend = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known.named)}."
        raise UsageError(
            f"no environment {text!r} in {known.file}; {mend}"
            " Requirements need a version: 'torchao==0.17.0'"
        )
    parsed = [requirement(each, base or Path.cwd()) for each in _words(text)]
    own = tuple(str(each) for each in parsed)
    return Environment(",".join(_label(each) for each in parsed), _completed(own, known.ad_hoc))


def _words(text: str) -> list[str]:
    return [re.sub(r"\s+@\s+", " @ ", each) for each in re.findall(r"\S+\s+@\s+\S+|\S+", text)]


def _label(parsed: Requirement) -> str:
    name = str(canonicalize_name(parsed.name))
    if parsed.url is None:
        return name + str(parsed.specifier).replace("==", "")
    file = parsed.url.rpartition("/")[2].partition("#")[0]
    return name + (_archive(unquote(file))[1] if file.endswith(ARCHIVES) else f"@{file}")


def _completed(own: tuple[str, ...], besides: Iterable[str]) -> tuple[str, ...]:
    names = {canonicalize_name(Requirement(each).name) for each in own}
    return own + tuple(e for e in besides if canonicalize_name(Requirement(e).name) not in names)


def with_requirement(environment: Environment, text: str) -> Environment:
    """Return the environment with the requirement on one package put in the place of its own.

    Raises:
        UsageError: the text is no requirement.
    """
    parsed = requirement(text, Path.cwd())
    name = f"{environment.name},{_label(parsed)}"
    return replace(
        environment, name=name, requirements=_completed((str(parsed),), environment.requirements)
    )
