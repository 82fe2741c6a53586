"""Fixtures: the index of toys, and tools that make environments of it."""

import os
from pathlib import Path

import pytest
from fake_index import build_index, environments_file
from filelock import FileLock
from made import tools_of

from conformance.versions.environments import Environments, load_environments
from conformance.versions.make import Tools


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all tests of a run share, those in other workers too."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "toys"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            making = shared.with_name("toys-making")
            build_index(making / "index")
            environments_file(making)
            making.rename(shared)
    return shared


@pytest.fixture(scope="session")
def index(scratch: Path) -> Path:
    return scratch / "index"


@pytest.fixture(scope="session")
def toys(scratch: Path) -> Environments:
    return load_environments(environments_file(scratch))


@pytest.fixture(scope="session")
def kept(index: Path, scratch: Path) -> Tools:
    """Tools whose cache the tests share."""
    return tools_of(index, scratch, scratch / "cache")


@pytest.fixture
def fresh(index: Path, scratch: Path, tmp_path: Path) -> Tools:
    """Tools with a cache of the test's own."""
    return tools_of(index, scratch, tmp_path / "cache")
