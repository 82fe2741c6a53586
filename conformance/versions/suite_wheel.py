"""The running suite as a wheel, so that it can be installed over every environment.

The wheel is made of the files that run now, from a checkout or from an installed wheel, without a
build tool and without a network. Its local version is a digest of its content.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from conformance import __version__
from conformance._compat import tomllib
from conformance.versions.shipped import PACKAGE, SHIPPED

DISTRIBUTION = "quantized-checkpoint-conformance"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold: equal content is then an equal file."""


@dataclass(frozen=True)
class Declared:
    """What the project says of itself."""

    requirements: tuple[str, ...]
    entry_points: Mapping[str, Mapping[str, str]]
    """Group -> name -> what it starts."""


@dataclass(frozen=True)
class SuiteWheel:
    """A wheel, whole, in memory."""

    file: str
    version: str
    content: bytes = field(repr=False)


def declared(package: Path = PACKAGE) -> Declared:
    """Return what the suite requires (extras left out) and the commands that it brings.

    A checkout says it in `pyproject.toml`, where an edit counts at once; otherwise what is
    installed says it.
    """
    project = package.parent / "pyproject.toml"
    if project.is_file():
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        if table["name"] == DISTRIBUTION:
            points = {"console_scripts": table.get("scripts", {}), **table.get("entry-points", {})}
            return Declared(tuple(table["dependencies"]), points)
    found = metadata.distribution(DISTRIBUTION)
    groups: dict[str, dict[str, str]] = {}
    for point in found.entry_points:
        groups.setdefault(point.group, {})[point.name] = point.value
    return Declared(tuple(_without_extras(found.requires or ())), groups)


def _without_extras(requirements: list[str] | tuple[str, ...]) -> Iterator[str]:
    for text in requirements:
        marker = Requirement(text).marker
        if marker is None or "extra" not in str(marker):
            yield text


def suite_wheel(package: Path = PACKAGE) -> SuiteWheel:
    """Pack the running suite."""
    says = declared(package)
    files = dict(sorted(suite_files(package)))
    entry_points = _entry_points(says)
    digest = hashlib.sha256(repr((says.requirements, entry_points)).encode())
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = f"{__version__}+{digest.hexdigest()[:12]}"
    base = f"{DISTRIBUTION.replace('-', '_')}-{version}"
    about = f"{base}.dist-info"
    files[f"{about}/METADATA"] = _metadata(version, says).encode()
    files[f"{about}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: conformance\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{about}/entry_points.txt"] = entry_points.encode()
    return SuiteWheel(f"{base}-py3-none-any.whl", version, zipped(files, f"{about}/RECORD"))


def suite_files(package: Path = PACKAGE) -> Iterator[tuple[str, bytes]]:
    """Yield the files of the package; what a checkout keeps beside it goes inside."""
    for path in package.rglob("*"):
        inside = path.relative_to(package)
        if path.is_file() and "__pycache__" not in inside.parts:
            yield (Path(package.name) / inside).as_posix(), path.read_bytes()
    for name in SHIPPED:
        beside = package.parent / name
        found = [beside] if beside.is_file() else beside.rglob("*")
        for path in found:
            if path.is_file():
                inside = path.relative_to(package.parent)
                yield (Path(package.name) / inside).as_posix(), path.read_bytes()


def _metadata(version: str, says: Declared) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {version}"]
    return "\n".join([*lines, *(f"Requires-Dist: {each}" for each in says.requirements), ""])


def _entry_points(says: Declared) -> str:
    return "\n".join(
        line
        for group, points in sorted(says.entry_points.items())
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in sorted(points.items())))
    )


def zipped(files: Mapping[str, bytes], record: str) -> bytes:
    """Return a wheel of these files and a RECORD of them; equal files give equal bytes."""
    rows = [f"{name},sha256={_hash(content)},{len(content)}" for name, content in files.items()]
    listed = {**files, record: "\n".join([*rows, f"{record},,", ""]).encode()}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in listed.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return memory.getvalue()


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
