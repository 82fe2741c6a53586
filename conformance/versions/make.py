"""Make environments, once: what is in the cache and complete is taken as it is.

An environment is built in the place where it stays (a virtual environment knows its own path), and
a marker is written last. Whoever builds holds a guard, so two runs at once build it once; without
the marker it is a half made one and is made again.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conformance.roundtrip.disk import no_space
from conformance.versions.bytecode import share_bytecode
from conformance.versions.cache import Cache, remove, user_cache, write_whole
from conformance.versions.environments import Environment, wanted
from conformance.versions.layer import layer
from conformance.versions.lock import Lock, known_lock, locked
from conformance.versions.observe import Observed, Unimportable, mismatch, observe
from conformance.versions.ready import Lacks, NotReady, Ready, interpreter_of
from conformance.versions.suite_wheel import SuiteWheel, suite_wheel
from conformance.versions.uv import Uv, UvError, find_uv, unreachable

LOCK, INSTALLED, SEEN = "lock.txt", "installed", "seen.json"
"""The files beside a virtual environment. `INSTALLED` is the marker."""
DONORS = 2
"""Environments of which compiled modules are taken; a third has hardly more to give."""


@dataclass(frozen=True)
class Tools:
    """What making environments needs."""

    cache: Cache
    uv: Uv
    suite: SuiteWheel
    tell: Callable[[str], None] = lambda _: None
    """Is told what begins; a line each."""


def tools(tell: Callable[[str], None] = lambda _: None) -> Tools:
    """Return the tools of this user.

    Raises:
        UsageError: uv is not installed.
    """
    return Tools(user_cache(), find_uv(), suite_wheel(), tell)


class _LacksError(Exception):
    """It cannot be made ready."""

    def __init__(self, lacks: Lacks, words: str) -> None:
        self.lacks = lacks
        self.words = words


class _Steps(dict[str, float]):
    """Seconds by step."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self[name] = time.monotonic() - started


def ready(environment: Environment, using: Tools) -> Ready | NotReady:
    """Return the environment, made if it is not in the cache; why it cannot be used is a value."""
    started = time.monotonic()
    try:
        done = _ready(environment, using, steps := _Steps())
    except _LacksError as failure:
        lacks, words = failure.lacks, failure.words
    except OSError as error:
        # As uv says it, so that a full disk is known by the same words.
        lacks, words = (
            Lacks.NOT_INSTALLED,
            f"{error.filename}: {error.strerror} (os error {error.errno})",
        )
    else:
        return replace(done, seconds=time.monotonic() - started, steps=dict(steps))
    if unreachable(words):
        lacks = Lacks.UNREACHABLE
        words = f"{words}; try again when it answers"
    if no_space(words):
        lacks = Lacks.NO_SPACE
        words = f"{using.cache.root} is full; free some, or name another disk in CONFORMANCE_CACHE"
    return NotReady(environment, lacks, words, time.monotonic() - started)


def ready_all(
    environments: Iterable[Environment], using: Tools, jobs: int = 0
) -> Iterator[Ready | NotReady]:
    """Yield the environments as they become ready, several at once."""
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        futures = [pool.submit(ready, each, using) for each in environments]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def made(environment: Environment, using: Tools) -> Ready | None:
    """Return the environment if it is in the cache and can be used; nothing is looked up or made.

    Its interpreter is the one below the suite.
    """
    try:
        lock = known_lock(environment, using.cache, using.uv)
    except UvError:
        return None
    directory = using.cache.environment(lock.digest) if lock else None
    if directory is None or not (directory / INSTALLED).is_file():
        return None
    asked = wanted(environment)
    seen = _known(directory)
    if seen is None or not seen.covers(asked) or mismatch(seen, asked):
        return None
    python = interpreter_of(directory)
    return Ready(environment, directory, python, seen.installed, seen.printed, cached=True)


def _ready(environment: Environment, using: Tools, step: _Steps) -> Ready:
    try:
        with step("resolve"):
            lock = locked(environment, using.cache, using.uv)
    except UvError as error:
        raise _LacksError(Lacks.UNRESOLVED, str(error)) from None
    directory = using.cache.environment(lock.digest)
    with using.cache.guard(lock.digest):
        cached = (directory / INSTALLED).is_file() and interpreter_of(directory).exists()
        if not cached:
            using.tell(f"making {environment.name}")
            with step("install"):
                _build(lock, directory, using)
        with step("suite"):
            python = interpreter_of(directory if environment.suite else _suite(directory, using))
        with step("import"):
            versions, printed = _seen(environment, directory, using)
        return Ready(environment, directory, python, versions, printed, cached)


def _build(lock: Lock, directory: Path, using: Tools) -> None:
    remove(directory)
    directory.mkdir(parents=True)
    write_whole(directory / LOCK, lock.text.encode())
    python = str(interpreter_of(directory))
    venv = ("venv", "--quiet", "--no-project", "--python", lock.interpreter.executable)
    sync = ("pip", "sync", "--quiet", *using.uv.index_arguments, "--python", python)
    try:
        using.uv.run(*venv, str(directory / "venv"))
        using.uv.run(*sync, str(directory / LOCK))
    except UvError as error:
        remove(directory)
        raise _LacksError(Lacks.NOT_INSTALLED, str(error)) from None
    for donor in _alike(lock, directory, using.cache)[:DONORS]:
        share_bytecode(donor / "venv", directory / "venv")
    write_whole(directory / INSTALLED, b"")


def _alike(lock: Lock, directory: Path, cache: Cache) -> list[Path]:
    """Return the other environments, those first that have the most in common."""
    lines = set(lock.text.splitlines())
    common = {
        other: len(lines & set((other / LOCK).read_text(encoding="utf-8").splitlines()))
        for other in cache.environments()
        if other != directory and (other / INSTALLED).is_file()
    }
    return sorted(common, key=lambda other: -common[other])


def _suite(directory: Path, using: Tools) -> Path:
    try:
        return layer(directory, using.suite, using.cache, using.uv)
    except UvError as error:
        raise _LacksError(Lacks.NOT_INSTALLED, str(error)) from None


def _seen(environment: Environment, directory: Path, using: Tools) -> tuple[Any, str]:
    """Return the versions, and what importing printed; one look serves equal environments."""
    asked = wanted(environment)
    seen = _known(directory)
    if seen is None or not seen.covers(asked):
        using.tell(f"importing what is in {environment.name}")
        looked = observe(interpreter_of(directory), tuple(asked))
        if isinstance(looked, Unimportable):
            raise _LacksError(Lacks.NOT_IMPORTED, looked.words)
        seen = looked
        write_whole(directory / SEEN, json.dumps(asdict(seen)).encode())
    if wrong := mismatch(seen, asked):
        raise _LacksError(Lacks.MISMATCH, wrong)
    return seen.installed, seen.printed


def _known(directory: Path) -> Observed | None:
    path = directory / SEEN
    return Observed(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
