"""What an environment really holds: its packages are imported once, and say their versions."""

import json
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from conformance.environment import DISTRIBUTIONS
from conformance.versions.ready import clean_variables

TIMEOUT = 600.0
"""Longest time for the imports; the first of a new environment also compiles them."""
ALWAYS = ("torch", "torchao", "diffusers")
"""Imported also where an environment does not name them, when they are installed."""
TOUCHED = {"diffusers": ["FluxTransformer2DModel", "CogVideoXTransformer3DModel"]}
"""Names that are fetched too: diffusers imports what it holds only when it is asked for."""
IMPORTS = Path(__file__).with_name("imports.py")
PRINTED = 2000
"""Characters kept of what the imports printed."""


@dataclass(frozen=True)
class Observed:
    """The packages were imported."""

    installed: Mapping[str, str]
    """Distribution -> what its metadata says."""
    imported: Mapping[str, str]
    """Distribution -> what its module says, for those that say something."""
    names: tuple[str, ...]
    """What was asked to be imported."""
    printed: str

    def covers(self, asked: Iterable[str]) -> bool:
        """Was each of these imported?"""
        return set(asked) <= set(self.names)


@dataclass(frozen=True)
class Unimportable:
    """A package raised or died, or the imports hung."""

    words: str


def observe(python: Path, names: tuple[str, ...]) -> Observed | Unimportable:
    """Import the distributions of these names in another interpreter."""
    question = json.dumps({"import": [*names, *ALWAYS], "touch": TOUCHED, "ask": DISTRIBUTIONS})
    command = [str(python), "-I", "-c", IMPORTS.read_text(encoding="utf-8"), question]
    try:
        done = subprocess.run(
            command,
            env=clean_variables(python),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Unimportable(f"importing takes longer than {TIMEOUT:.0f} s")
    if done.returncode:
        return Unimportable(_last_words(done))
    answer = json.loads(done.stdout)
    return Observed(**answer, names=names, printed=done.stderr.strip()[-PRINTED:])


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if done.returncode > 0:
        return last
    return f"killed by {signal.Signals(-done.returncode).name}; {last}"


def mismatch(observed: Observed, asked: Mapping[str, SpecifierSet]) -> str:
    """Return what is not as it was asked for; empty when all is.

    A requested package must be installed, and its module must not be of another release than its
    metadata says (another copy of it on the path).
    """
    wrong = []
    for name, versions in asked.items():
        installed = observed.installed.get(name)
        imported = observed.imported.get(name, installed)
        if installed is None or not _contains(versions, installed):
            wrong.append(f"{name}{versions} was asked for, {installed or 'nothing'} is installed")
        elif not _same_release(installed, imported):
            wrong.append(f"{name} {installed} is installed, {imported} is imported")
    return "; ".join(wrong)


def _contains(versions: SpecifierSet, version: str) -> bool:
    try:
        return versions.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _same_release(installed: str, imported: str | None) -> bool:
    try:
        return Version(installed).public == Version(imported or "").public
    except InvalidVersion:
        return False
