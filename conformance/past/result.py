"""What was loaded from a directory with a past: pure, over what readers told."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from conformance._compat import StrEnum
from conformance.damage.fate import Fate, Reading, told
from conformance.errors import UsageError, results_unwritable
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


def save(path: Path, found: Pasts) -> None:
    """Write JSON lines: a header, and a line a reading; what is empty is left out.

    Raises:
        UsageError: the path cannot be written.
    """
    header = {"kind": KIND, "schema": SCHEMA, "versions": dict(found.versions)}
    lines = [header, *({k: v for k, v in asdict(each).items() if v} for each in found.results)]
    text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise results_unwritable(path, error) from None


def read(path: Path) -> Pasts:
    """Read a file of results.

    Raises:
        UsageError: it is missing, or is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = json.loads(lines[0])
        if (header["kind"], header["schema"]) != (KIND, SCHEMA):
            raise ValueError("it is of another kind or schema")
        return Pasts(header["versions"], tuple(_results(lines[1:])))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UsageError(
            f"{path} holds no results of `conformance past` ({error}); run it again"
        ) from None


def _results(lines: Iterable[str]) -> Iterator[Past]:
    for each in lines:
        data = json.loads(each)
        fate = data.pop("fate", None)
        loader = Loader(data.pop("loader"))
        yield Past(**data, loader=loader, fate=Fate(fate) if fate else None)
