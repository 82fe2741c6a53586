"""From requirements to a lock: the exact versions that stand for them, kept until asked anew."""

import hashlib
import json
import platform
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement

from conformance.versions.cache import Cache, write_whole
from conformance.versions.environments import Environment, local_file
from conformance.versions.suite_wheel import declared
from conformance.versions.uv import Uv

TAG = (
    "import platform, sys, sysconfig;"
    "print(sys.implementation.name, platform.python_version(), sysconfig.get_platform())"
)


@dataclass(frozen=True)
class Interpreter:
    """The Python that an environment is made of."""

    executable: str
    tag: str
    """Implementation, version and platform."""


@dataclass(frozen=True)
class Lock:
    """What is installed, exactly."""

    text: str
    interpreter: Interpreter

    @property
    def digest(self) -> str:
        """The name of the environment in the cache."""
        return _digest(self.text, self.interpreter.tag, *_contents(self.text.splitlines()))


def interpreter(environment: Environment, uv: Uv) -> Interpreter:
    """Return the Python that the environment asks for.

    Raises:
        UvError: there is none, in uv's words.
    """
    if not environment.python:
        version, machine = platform.python_version(), sysconfig.get_platform()
        return Interpreter(sys.executable, f"{sys.implementation.name} {version} {machine}")
    arguments = ("python", "find", "--system", "--no-project", environment.python)
    executable = uv.run(*arguments).strip()
    return Interpreter(executable, _tag(executable))


@cache
def _tag(executable: str) -> str:
    command = [executable, "-I", "-c", TAG]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def required(environment: Environment) -> tuple[str, ...]:
    """Return everything that must be resolved together: also what the suite needs."""
    suite = (environment.suite,) if environment.suite else declared().requirements
    return (*environment.requirements, *suite)


def lock_key(environment: Environment, python: Interpreter, uv: Uv) -> str:
    """Return what names a lock: everything that a resolution depends on but the index itself."""
    settings = uv.settings()
    files = settings.get("UV_CONSTRAINT", "").split() + settings.get("UV_OVERRIDE", "").split()
    texts = [Path(each).read_text(encoding="utf-8") for each in files if Path(each).is_file()]
    everything = required(environment)
    return _digest(
        json.dumps([everything, python.tag, sorted(settings.items()), texts]),
        *_contents(everything),
    )


def known_lock(environment: Environment, cache_: Cache, uv: Uv) -> Lock | None:
    """Return the lock that is kept, or None; nothing is looked up.

    Raises:
        UvError: there is no such Python.
    """
    python = interpreter(environment, uv)
    path = cache_.lock(lock_key(environment, python, uv))
    return Lock(path.read_text(encoding="utf-8"), python) if path.is_file() else None


def locked(environment: Environment, cache_: Cache, uv: Uv) -> Lock:
    """Return the lock that is kept, or resolve one.

    Raises:
        UvError: there is no such Python, or nothing satisfies the requirements.
    """
    return known_lock(environment, cache_, uv) or resolve(environment, cache_, uv)


def resolve(environment: Environment, cache_: Cache, uv: Uv) -> Lock:
    """Resolve, and keep the lock in the place of an older one.

    Raises:
        UvError: there is no such Python, or nothing satisfies the requirements.
    """
    python = interpreter(environment, uv)
    quiet = ("--quiet", "--no-header", "--no-annotate", *uv.index_arguments)
    text = uv.run(
        "pip",
        "compile",
        *quiet,
        "--python",
        python.executable,
        "-",
        stdin="\n".join(required(environment)),
    )
    write_whole(cache_.lock(lock_key(environment, python, uv)), text.encode())
    return Lock(text, python)


def _contents(requirements: tuple[str, ...] | list[str]) -> list[str]:
    """Return digests of the local files among them: the same path may hold another build."""
    paths = [local_file(Requirement(each)) for each in requirements if " @ file:" in each]
    return [_digest_file(path) for path in paths if path is not None and path.is_file()]


def _digest_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]
