"""An environment that can be used, or why it cannot; and running something in it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance._compat import StrEnum
from conformance.versions.environments import Environment
from conformance.versions.uv import LEAKS


class Lacks(StrEnum):
    """Why an environment cannot be used."""

    UNRESOLVED = "does not resolve"
    """No versions satisfy the requirements."""
    UNREACHABLE = "is out of reach"
    """The index or another source does not answer, or lets nobody in: no word on requirements."""
    NOT_INSTALLED = "does not install"
    """The versions are known, and one of them cannot be fetched, built or installed."""
    NO_SPACE = "no space left"
    """The disk is full."""
    NOT_IMPORTED = "does not import"
    """It is installed, and a package raises or dies when it is imported."""
    MISMATCH = "is not what was asked for"
    """What was imported says another version than was requested."""


@dataclass(frozen=True)
class Ready:
    """An environment with the suite in it."""

    environment: Environment
    directory: Path
    python: Path
    """The interpreter that sees its packages and the suite."""
    versions: Mapping[str, str]
    """Distribution -> the version that was imported."""
    printed: str
    """What importing printed."""
    cached: bool
    """Was it there already?"""
    seconds: float = 0.0
    """What it took to have it ready this time."""
    steps: Mapping[str, float] = field(default_factory=dict)
    """Step -> its part of the seconds: `resolve`, `install`, `suite`, `import`."""


@dataclass(frozen=True)
class NotReady:
    """An environment without which there is no result."""

    environment: Environment
    lacks: Lacks
    words: str
    """What the resolver, the installer or the interpreter said last."""
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """The reason of a `no result`."""
        return f"environment {self.environment.name} {self.lacks}: {self.words}"


def interpreter_of(directory: Path) -> Path:
    """Return the interpreter of an environment in the cache."""
    folder, program = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return directory / "venv" / folder / program


def clean_variables(python: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for a process in another environment.

    Nothing of the caller's interpreter or of a pytest around it comes along; everything else does,
    `OMP_NUM_THREADS` too.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in LEAKS and not name.startswith("PYTEST_")
    }
    path = os.pathsep.join([str(python.parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, **(extra or {})}


def command_in(ready: Ready, arguments: Sequence[str]) -> list[str]:
    """Return the command that runs Python there.

    Isolated: neither the current directory nor the user's own packages are on its path, so that a
    checkout in which somebody stands is not taken for the installed suite.
    """
    return [str(ready.python), "-I", *arguments]


def start_in(
    ready: Ready, arguments: Sequence[str], extra: Mapping[str, str] | None = None, **options: Any
) -> "subprocess.Popen[str]":
    """Start Python there, as `subprocess.Popen` does; `extra` are further variables."""
    variables = clean_variables(ready.python, extra)
    return subprocess.Popen(command_in(ready, arguments), env=variables, text=True, **options)


def run_in(
    ready: Ready, arguments: Sequence[str], extra: Mapping[str, str] | None = None, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run Python there to its end, and return what it printed."""
    variables = clean_variables(ready.python, extra)
    options = {"capture_output": True, "check": False, **options}
    return subprocess.run(command_in(ready, arguments), env=variables, text=True, **options)
