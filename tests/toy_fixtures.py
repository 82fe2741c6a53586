"""Fixtures: the index of toys, and tools that make environments of it."""

from pathlib import Path

import pytest
from fake_index import build_index, environments_file
from made import tools_of

from conformance.versions.environments import Environments, load_environments
from conformance.versions.make import Tools


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_index(tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def toys(scratch: Path) -> Environments:
    return load_environments(environments_file(scratch))


@pytest.fixture(scope="module")
def kept(index: Path, scratch: Path) -> Tools:
    """Tools whose cache the tests share."""
    return tools_of(index, scratch, scratch / "kept")


@pytest.fixture
def fresh(index: Path, scratch: Path, tmp_path: Path) -> Tools:
    """Tools with a cache of the test's own."""
    return tools_of(index, scratch, tmp_path / "cache")
