"""Where environments lie, and writing there so that nobody reads half a file."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

VARIABLE = "CONFORMANCE_CACHE"


@dataclass(frozen=True)
class Cache:
    """A directory that can be thrown away at any time when no command runs."""

    root: Path

    def environment(self, digest: str) -> Path:
        """Return the directory of the environment of this digest."""
        return self.root / "environments" / digest

    def lock(self, key: str) -> Path:
        """Return the file of the lock that was resolved for this key."""
        return self.root / "locks" / f"{key}.txt"

    def wheel(self, file: str) -> Path:
        """Return the path of a wheel of the suite."""
        return self.root / "suite" / file

    def environments(self) -> list[Path]:
        """Return the directories of all environments, half made ones too."""
        return sorted((self.root / "environments").glob("*"))

    @contextmanager
    def guard(self, name: str, timeout: float = -1) -> Iterator[None]:
        """Hold what others must not change meanwhile, in any process.

        Raises:
            filelock.Timeout: somebody else held it for longer than the timeout.
        """
        path = self.root / "guards" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=timeout):
            yield


def user_cache() -> Cache:
    """Return the cache of this user, or that of `CONFORMANCE_CACHE`."""
    named = os.environ.get(VARIABLE)
    return Cache(Path(named).absolute() if named else user_cache_path("conformance"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".half-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove(directory: Path) -> None:
    """Remove a directory: first out of its name, so that a killed removal leaves no half of it."""
    if directory.exists():
        aside = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".gone-"))
        directory.replace(aside / directory.name)
        shutil.rmtree(aside, ignore_errors=True)
