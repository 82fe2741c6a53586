"""What was loaded from a directory with a past: pure, over what readers told."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path

from conformance._compat import StrEnum
from conformance.damage.fate import Fate, Reading, told
from conformance.errors import UsageError
from conformance.judging.begun import Begun, Lines, begun, require_asked, require_same
from conformance.past.scenes import Kind, Scene

KIND = "past"
SCHEMA = 1
NOTHING_KNOWN = "nothing that was saved"
CONCURRENT = (Kind.AT_ONCE, Kind.MEANWHILE)
"""While others save, any whole content may be loaded."""


class Loader(StrEnum):
    """Who reads."""

    OWN = "own"
    """The loader of the format that was saved last, which is told what files to take."""
    DEFAULT = "default"
    """`from_pretrained` that nobody told anything."""


@dataclass(frozen=True)
class Past:
    """One reading of one scene."""

    scene: str
    kind: str
    form: str
    loader: Loader
    fate: Fate | None
    got: str = ""
    """The content that was loaded; empty when none was."""
    saved: str = ""
    """The signature of what the last save raised, or how it was broken off."""
    error: str = ""
    """The signature of what the loader raised, or of why there is no result."""


def judged(
    scene: Scene, loader: Loader, saved: str, got: Reading, known: Mapping[str, Reading]
) -> Past:
    """Judge a reading against what each content is when it is saved into an empty directory.

    Args:
        scene: What was played.
        loader: Who read.
        saved: What the last save raised; empty when it returned.
        got: What was read.
        known: Clean readings by content.
    """
    names = (scene.id, str(scene.kind), scene.form, loader)
    if got.no_result is not None:
        reason = f"{got.no_result.kind}: {got.no_result.reason}"
        return Past(*names, None, saved=told(saved), error=told(reason))
    if got.error is not None:
        return Past(*names, Fate.DETECTED, saved=told(saved), error=told(": ".join(got.error)))
    found = content(got, known)
    fate = Fate.HARMLESS if found in allowed(scene, saved, known) else Fate.SILENT
    return Past(*names, fate, found, told(saved))


def content(got: Reading, known: Mapping[str, Reading]) -> str:
    """Return which content was loaded: the same tensors and the same output."""
    for name, each in known.items():
        if (each.tensors, each.output) == (got.tensors, got.output):
            return name
    return NOTHING_KNOWN


def allowed(scene: Scene, saved: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return what may be loaded.

    After a save that returned only what it saved; after one that raised or was killed whatever
    was whole before; and while several save, each of these.
    """
    if saved:
        return tuple(known)
    return scene.wanted if scene.kind in CONCURRENT else scene.wanted[:1]


@dataclass(frozen=True)
class Pasts:
    """A whole file of results."""

    versions: Mapping[str, str]
    results: tuple[Past, ...]


Before = tuple[Begun, tuple[Past, ...]]
"""The lines that a run left that was broken off, and the readings of whole scenes in them."""
WRONG = (ValueError, KeyError, TypeError, IndexError, AttributeError)


def save(path: Path, found: Pasts) -> None:
    """Write a whole file.

    Raises:
        UsageError: the path cannot be written.
    """
    with Writer(path, found.versions) as writer:
        for each in found.results:
            writer.write(each)


class Writer(Lines):
    """Writes each reading at once."""

    def __init__(self, path: Path, versions: Mapping[str, str], after: Begun | None = None) -> None:
        """Open the file; see `Lines`."""
        header = {"kind": KIND, "schema": SCHEMA, "versions": dict(versions)}
        super().__init__(path, header, after)

    def write(self, past: Past) -> None:
        """Append a reading."""
        self.append(asdict(past))


def read(path: Path) -> Pasts:
    """Read a file of results.

    Raises:
        UsageError: it is missing, or is no such file.
    """
    try:
        return _pasts(path.read_text(encoding="utf-8").splitlines())
    except (OSError, *WRONG) as error:
        raise _no_results(path, error) from None


def resumed(path: Path, versions: Mapping[str, str], asked: Iterable[Scene]) -> Before:
    """Return what a run that was broken off left, when this one can go on with it.

    A scene of which readings are missing is played again from its beginning.

    Raises:
        UsageError: there is no such file, or another run began it.
    """
    left = begun(path)
    try:
        then = _pasts(left.texts)
    except WRONG as error:
        raise _no_results(path, error) from None
    planned = {scene.id: len(Loader) * scene.readings for scene in asked}
    require_same(path, {"versions": (dict(then.versions), dict(versions))})
    require_asked(path, (each.scene for each in then.results), planned)
    there = Counter(each.scene for each in then.results)
    whole = tuple(takewhile(lambda each: there[each.scene] == planned[each.scene], then.results))
    return left.first(1 + len(whole)), whole


def _no_results(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} holds no results of `conformance past` ({error}); run it again")


def _pasts(lines: Sequence[str]) -> Pasts:
    header = json.loads(lines[0])
    if (header["kind"], header["schema"]) != (KIND, SCHEMA):
        raise ValueError("it is of another kind or schema")
    return Pasts(header["versions"], tuple(_results(lines[1:])))


def _results(lines: Iterable[str]) -> Iterator[Past]:
    for each in lines:
        data = json.loads(each)
        fate = data.pop("fate", None)
        loader = Loader(data.pop("loader"))
        yield Past(**data, loader=loader, fate=Fate(fate) if fate else None)
