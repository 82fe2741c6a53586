"""Golden files: checkpoints that old releases wrote, kept for good and read by every later one.

    fixtures/golden/torchao-0.17/MANIFEST.json        versions, cases, and a digest of every file
    fixtures/golden/torchao-0.17/index.json           as `conformance.roundtrip.keep` writes it
    fixtures/golden/torchao-0.17/<case id>/record.json, checkpoint/...
    fixtures/golden/MANIFESTS.txt                     a digest of every manifest

They are never written again: what a release wrote cannot change any more.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from packaging.version import Version

from conformance import __version__
from conformance.errors import UsageError
from conformance.judging.exchange import label
from conformance.roundtrip.kept import INDEX, Index
from conformance.roundtrip.outcome import Outcome
from conformance.roundtrip.record import ORACLE, RECORD
from conformance.versions.party import Lines, Party

MANIFEST = "MANIFEST.json"
MANIFESTS = "MANIFESTS.txt"
SCHEMA = 1
LIMIT = 10_000_000
"""Bytes of all golden files together."""
DIRECTORY = Path(__file__).parents[2] / "fixtures" / "golden"

SELECTION = (
    "flux-tiny.int8wo.quantize_.pickle.cpu",
    "flux-tiny.int8wo-v2.torchao-config.safetensors.cpu",
    "cogvideox-tiny.int8wo.torchao-config.pickle.cpu",
    "cogvideox-tiny.int8dq.quantize_.pickle.cpu",
    "cogvideox-tiny.float8wo.quantize_.pickle.cpu",
    "cogvideox-tiny.float8wo.quantize_.torchao-safetensors.cpu",
    "cogvideox-tiny.int4wo-v1-cpu.quantize_.pickle.cpu",
    "cogvideox-tiny.int4wo-opaque.quantize_.pickle.cpu",
    "cogvideox-tiny.intx4-g32.quantize_.pickle.cpu",
)
"""Few, because they are kept in the repository; what a release cannot write it leaves out."""


@dataclass(frozen=True)
class Manifest:
    """What one release wrote, as it must stay."""

    name: str
    """`torchao-0.17`, the directory."""
    versions: Mapping[str, str]
    cases: tuple[str, ...]
    absent: Mapping[str, str]
    """Cases of the selection that this release did not write, with the reason."""
    files: Mapping[str, str]
    """blake2b-256 by path relative to the directory."""
    suite: str = __version__
    schema: int = SCHEMA

    @property
    def label(self) -> str:
        """The versions, as they stand in ids."""
        return label(self.versions)

    def text(self) -> str:
        """Return it as the file holds it."""
        return json.dumps(vars(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def load(cls, directory: Path) -> "Manifest":
        """Read the manifest of one release.

        Raises:
            UsageError: it is missing, broken, or of another schema.
        """
        path = directory / MANIFEST
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema"] == SCHEMA:
                return cls(**{**data, "cases": tuple(data["cases"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}: no manifest of golden files ({error!r}); restore it from git"
            ) from None
        raise UsageError(
            f"{path}: manifest schema {data['schema']}, this suite reads {SCHEMA}; update the suite"
        )


@dataclass(frozen=True)
class Shelf:
    """The golden files of one release."""

    directory: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """`torchao-0.17`."""
        return self.manifest.name

    @property
    def versions(self) -> Mapping[str, str]:
        """What wrote them."""
        return self.manifest.versions

    @property
    def index(self) -> Index:
        """How they were written; `UsageError` where that is not readable."""
        return Index.load(self.directory)


def digest(path: Path) -> str:
    """Return the blake2b-256 of a file, as `b2sum -l 256` prints it."""
    return blake2b(path.read_bytes(), digest_size=32).hexdigest()


def shelves(directory: Path = DIRECTORY) -> tuple[Shelf, ...]:
    """Return the golden files of every release, oldest first.

    Raises:
        UsageError: there are none, or a manifest is broken.
    """
    found = [path.parent for path in directory.glob(f"*/{MANIFEST}")]
    if not found:
        raise UsageError(
            f"no golden files in {directory}; they lie in a checkout of the suite: give --directory"
        )
    made = [Shelf(path, Manifest.load(path)) for path in found]
    return tuple(sorted(made, key=lambda each: Version(each.versions["torchao"])))


def damage(directory: Path = DIRECTORY) -> Iterator[str]:
    """Name every file that is not as it was committed, or that nobody committed."""
    listed = dict(_listed(directory / MANIFESTS))
    for name in sorted(listed.keys() | {f"{path.name}/{MANIFEST}" for path in _folders(directory)}):
        yield from _difference(directory / name, name, listed.get(name))
    for folder in _folders(directory):
        try:
            known = Manifest.load(folder).files
        except UsageError as error:
            yield str(error)
            continue
        there = {name for name in _files(folder) if name != MANIFEST}
        for name in sorted(known.keys() | there):
            yield from _difference(folder / name, f"{folder.name}/{name}", known.get(name))


def _difference(path: Path, name: str, wanted: str | None) -> Iterator[str]:
    if not path.is_file():
        yield f"{name} is missing"
    elif wanted is None:
        yield f"{name} is in no manifest"
    elif digest(path) != wanted:
        yield f"{name} has changed"


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        content, _, name = line.partition("  ")
        yield name, content


def _folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir())


def _files(directory: Path) -> list[str]:
    paths = [path for path in directory.rglob("*") if path.is_file()]
    return sorted(path.relative_to(directory).as_posix() for path in paths)


def make(
    party: Party,
    directory: Path = DIRECTORY,
    selection: tuple[str, ...] = SELECTION,
    tell: Callable[[str], None] = lambda _: None,
) -> Shelf:
    """Have an environment write the golden files of its torchao release.

    Raises:
        UsageError: there are some of that release already, or it wrote nothing.
        PartyError: the environment ended badly.
    """
    version = Version(party.versions["torchao"])
    name = f"torchao-{version.major}.{version.minor}"
    target = directory / name
    if target.exists():
        raise UsageError(f"{target} is there already; golden files are never written again")
    with tempfile.TemporaryDirectory(prefix="conformance-") as place:
        kept = Path(place) / name
        arguments = ("conformance.roundtrip.keep", str(kept), *selection)
        outcomes: dict[str, Outcome] = {}
        for line in Lines(party, arguments):
            outcomes[line["case"]] = Outcome.from_json(line)
            tell(line["case"])
        manifest = _settle(kept, name, party.versions, outcomes)
        shutil.copytree(kept, target)
    _list(directory)
    return Shelf(target, manifest)


def _settle(
    kept: Path, name: str, versions: Mapping[str, str], outcomes: Mapping[str, Outcome]
) -> Manifest:
    """Make what was kept smaller and write its manifest."""
    written = Index(versions, outcomes).written
    if not written:
        raise UsageError(f"{name} wrote none of the golden files: {_reasons(outcomes)}")
    for case in written:
        (kept / case / ORACLE).unlink(missing_ok=True)
        _compact(kept / case / RECORD)
    # The times of the writing machine are nobody's business for good.
    Index(versions, {case: replace(outcomes[case], steps=()) for case in written}).save(kept)
    _compact(kept / INDEX)
    manifest = Manifest(
        name=name,
        versions=versions,
        cases=written,
        absent={case: why for case, why in _reasons(outcomes).items() if case not in written},
        files={file: digest(kept / file) for file in _files(kept)},
    )
    (kept / MANIFEST).write_text(manifest.text(), encoding="utf-8")
    return manifest


def _compact(path: Path) -> None:
    data: Any = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")


def _reasons(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Say in one line why each case was not written; paths of the writing machine are cut out."""
    found = {}
    for case, outcome in outcomes.items():
        if outcome.no_result is not None:
            found[case] = f"{outcome.no_result.kind}: {outcome.no_result.reason}"
        elif outcome.failure is not None:
            first = outcome.failure.message.strip().partition("\n")[0]
            found[case] = f"{outcome.failure.type} at {outcome.failure.stage}: {first}"
    return {case: re.sub(r"/\S+", "<path>", why) for case, why in found.items()}


def _list(directory: Path) -> None:
    names = [f"{path.name}/{MANIFEST}" for path in _folders(directory)]
    lines = [f"{digest(directory / name)}  {name}\n" for name in names]
    (directory / MANIFESTS).write_text("".join(lines), encoding="utf-8")
