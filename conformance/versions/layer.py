"""The suite over an environment: a thin virtual environment that also sees the packages below.

Each state of the suite has a layer of its own. A run of an edited suite therefore changes nothing
under a run that is still going on, and the big environment is shared by both.
"""

from pathlib import Path

from conformance.versions.cache import Cache, remove, write_whole
from conformance.versions.ready import interpreter_of
from conformance.versions.suite_wheel import SuiteWheel
from conformance.versions.uv import Uv

LAYERS, INSTALLED, BELOW = "suites", "installed", "environment.pth"


def layer(below: Path, suite: SuiteWheel, cache: Cache, uv: Uv) -> Path:
    """Return the directory of the suite over an environment, made if it is not there.

    Raises:
        UvError: it cannot be made.
        OSError: the cache cannot be written.
    """
    directory = below / LAYERS / suite.version
    if (directory / INSTALLED).is_file() and interpreter_of(directory).exists():
        return directory
    wheel = cache.wheel(suite.file)
    if not wheel.is_file():
        write_whole(wheel, suite.content)
    remove(directory)
    directory.mkdir(parents=True)
    python = str(interpreter_of(directory))
    uv.run(
        "venv",
        "--quiet",
        "--no-project",
        "--python",
        str(interpreter_of(below)),
        str(directory / "venv"),
    )
    alone = ("--quiet", "--no-deps", "--no-index", "--offline")
    uv.run("pip", "install", *alone, "--python", python, str(wheel))
    write_whole(_packages(directory) / BELOW, f"{_packages(below)}\n".encode())
    write_whole(directory / INSTALLED, b"")
    return directory


def _packages(directory: Path) -> Path:
    """Return the `site-packages` of a virtual environment in the cache."""
    return next((directory / "venv").glob("[Ll]ib/**/site-packages"))
