"""The cache: whole files, whole removals, one at a time."""

from pathlib import Path

import pytest
from filelock import Timeout

from conformance.versions.cache import Cache, remove, user_cache, write_whole


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_whole(path, b"first")
    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_is_removed_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    directory = tmp_path / "some"
    (directory / "deep").mkdir(parents=True)
    remove(directory)
    remove(directory)
    assert list(tmp_path.iterdir()) == []


def test_a_guard_is_held_by_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.guard("a"), cache.guard("b", 0), pytest.raises(Timeout), cache.guard("a", 0):
        pass
    with cache.guard("a", 0):
        pass


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONFORMANCE_CACHE", "mine")
    assert user_cache().root == tmp_path / "mine"
    monkeypatch.delenv("CONFORMANCE_CACHE")
    assert user_cache().root.name == "conformance"


def test_environments_are_those_that_are_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.environments() == []
    cache.environment("b").mkdir(parents=True)
    cache.environment("a").mkdir()
    assert [each.name for each in cache.environments()] == ["a", "b"]
