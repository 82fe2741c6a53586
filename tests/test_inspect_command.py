"""`conformance inspect`, as people call it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from called import Ran, called
from fsspec.implementations.dirfs import DirFileSystem
from pickled import Global, Made, archive, pickled

from conformance.errors import UsageError
from conformance.inspection.findings import Kind
from conformance.inspection.hub import Repository
from conformance.inspection.readers import table
from conformance.inspection.whole import checkpoints
from conformance.versions.golden import DIRECTORY

OLD = DIRECTORY / "torchao-0.17" / "flux-tiny.int8wo.quantize_.pickle.cpu" / "checkpoint"
SAFE = DIRECTORY / "torchao-0.18" / "flux-tiny.int8wo-v2.torchao-config.safetensors.cpu"


def inspect(*arguments: str | Path) -> Ran:
    return called("inspect", *map(str, arguments), where=Path.cwd())


def test_a_golden_checkpoint_gets_its_advice() -> None:
    ended = inspect(OLD)
    assert ended.returncode == 0, ended.stderr
    for words in (
        "diffusion_pytorch_model.bin: 145.1 kB, pickle; 30 of 66 tensors quantized",
        "whichever wrote it            a       a       a       a       a       F",
        "torchao 0.18 cannot read it.",
        "nothing wrong found; read 29.5 kB of 145.1 kB; nothing was unpickled",
    ):
        assert words in ended.stdout
    assert "\x1b" not in ended.stdout
    assert all(len(line) <= 130 for line in ended.stdout.splitlines())


def test_json_has_every_weight() -> None:
    ended = inspect(SAFE / "checkpoint", "--json")
    assert ended.returncode == 0, ended.stderr
    (found,) = json.loads(ended.stdout)["checkpoints"]
    assert found["read_by"]["usable"] == ["0.18.0"]
    assert found["dtypes"].keys() == {"int8", "float32", "bfloat16"}
    (weight,) = [each for each in found["weights"] if each["key"] == "proj_out.weight"]
    assert weight["scheme"] == "int8 weights, weight only, per row"
    assert weight["attributes"]["reduce_range"] is False


def test_one_file_is_asked_about_by_itself() -> None:
    ended = inspect(OLD / "diffusion_pytorch_model.bin", "--json")
    (found,) = json.loads(ended.stdout)["checkpoints"]
    assert (ended.returncode, found["config"], len(found["files"])) == (0, None, 1)


def test_a_hostile_file_ends_with_1_and_no_advice_to_load_it(tmp_path: Path) -> None:
    evil = Made(Global("os", "system"), f"touch {tmp_path}/ran")
    archive(tmp_path / "model.bin", pickled({"w\x1b[31m": evil}), {})
    ended = inspect(tmp_path)
    assert ended.returncode == 1
    assert "hostile model.bin: a plain load would import and may call os.system" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert not (tmp_path / "ran").exists()


def test_where_no_weights_can_be_read_there_is_no_table_of_them(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"nonsense")
    ended = inspect(tmp_path)
    assert ended.returncode == 1
    assert "damaged model.bin: it is neither a zip archive nor a pickle" in ended.stdout
    assert "subclass" not in ended.stdout


REFUSED = {
    "nowhere": "is not there; give a path, or the id of a Hub repository",
    "pyproject.toml": "is no directory, weight file or index",
}


@pytest.mark.parametrize(("path", "words"), REFUSED.items())
def test_bad_paths_are_one_line(path: str, words: str) -> None:
    ended = inspect(path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_folder_without_weights(tmp_path: Path) -> None:
    ended = inspect(tmp_path)
    assert ended.returncode == 2
    assert "holds no weights; name the folder of" in ended.stderr


def test_a_folder_whose_weights_lie_deeper_names_them(tmp_path: Path) -> None:
    place = tmp_path / "b" / "case" / "checkpoint"
    place.mkdir(parents=True)
    (place / "weights.bin").touch()
    (place / "notes.txt").touch()
    ended = inspect(tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"holds no weights; name a folder that does: {place}\n")


@pytest.mark.thorough
def test_the_hub_offline_is_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "conformance.cli", "inspect", "somebody/something"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "somebody/something is no path here, and the Hub does not give it" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_repository_is_read_in_ranges(tmp_path: Path) -> None:
    """The file system of the Hub is fsspec's; here is another of its kind."""
    place = tmp_path / "owner" / "name"
    place.parent.mkdir()
    place.symlink_to(OLD)
    source = Repository("owner/name", DirFileSystem(str(tmp_path)))
    (found,) = checkpoints(source, table().names)
    assert len(found.loaded.quantized) == 30
    assert found.bytes_read < 40_000
    assert {each.kind for each in found.findings} == {Kind.NOTE}


class Broken:
    """A Hub that answers nothing."""

    def find(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("no route\nto host")


def test_a_hub_that_does_not_answer() -> None:
    with pytest.raises(UsageError, match=r"ConnectionError: no route\); give a path"):
        Repository("owner/name", Broken()).files()


PROOF = """
import importlib, pkgutil, sys
import conformance.inspection
for each in pkgutil.iter_modules(conformance.inspection.__path__):
    importlib.import_module(f"conformance.inspection.{each.name}")
from conformance import cli
sys.argv = ["conformance", "inspect", sys.argv[1]]
try:
    cli.main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
heavy = {"torch", "torchao", "diffusers", "transformers", "numpy", "safetensors"}
loaded = sorted(heavy & sys.modules.keys())
assert not loaded, loaded
"""


@pytest.mark.thorough
@pytest.mark.parametrize("path", [OLD, SAFE / "checkpoint"], ids=["pickle", "safetensors"])
def test_no_library_under_test_is_imported(path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROOF, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == 0, ended.stderr
