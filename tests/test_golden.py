"""What old releases wrote: unchanged, small, and read by the installed versions as declared."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import golden_reader
import pytest
from stand_in_party import here

from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.judging.expectations import active
from conformance.judging.judge import judge
from conformance.report.text import case_report, to_text
from conformance.roundtrip.outcome import Outcome
from conformance.roundtrip.record import Record
from conformance.versions.golden import DIRECTORY, LIMIT, Shelf, damage, make, shelves
from conformance.versions.golden_read import ReadingOf, expected, items, read_all

SHELVES = shelves()
CHECKPOINTS = [shelf.directory / case for shelf in SHELVES for case in shelf.manifest.cases]
NAMES = [f"{path.parent.name}/{path.name}" for path in CHECKPOINTS]

# Unchanged


def test_no_committed_byte_has_changed() -> None:
    assert list(damage()) == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """One release's files, listed as in the whole."""
    name = SHELVES[-1].name
    shutil.copytree(DIRECTORY / name, tmp_path / name)
    listed = (DIRECTORY / "MANIFESTS.txt").read_text(encoding="utf-8").splitlines()
    (line,) = [each for each in listed if f"  {name}/" in each]
    (tmp_path / "MANIFESTS.txt").write_text(f"{line}\n", encoding="utf-8")
    assert list(damage(tmp_path)) == []
    return tmp_path / name


def weights(folder: Path) -> Path:
    return next(folder.rglob("*.bin"))


def flip(path: Path, place: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def flip_a_weight(folder: Path) -> str:
    flip(weights(folder))
    return "has changed"


def flip_a_record(folder: Path) -> str:
    flip(next(folder.rglob("record.json")))
    return "has changed"


def lose_a_file(folder: Path) -> str:
    weights(folder).unlink()
    return "is missing"


def add_a_file(folder: Path) -> str:
    (weights(folder).parent / "stray.bin").write_bytes(b"")
    return "is in no manifest"


def make_it_fit(folder: Path) -> str:
    """Change a file and its digest in the manifest: then the manifest has changed."""
    manifest = folder / "MANIFEST.json"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    return "MANIFEST.json has changed"


def add_a_release(folder: Path) -> str:
    shutil.copytree(folder, folder.parent / "torchao-9.9")
    return "torchao-9.9/MANIFEST.json is in no manifest"


@pytest.mark.parametrize(
    "change",
    [flip_a_weight, flip_a_record, lose_a_file, add_a_file, make_it_fit, add_a_release],
)
def test_every_change_is_noticed(change: Callable[[Path], str], copy: Path) -> None:
    said = change(copy)
    (line,) = damage(copy.parent)
    assert said in line


def test_golden_files_are_never_written_again(copy: Path) -> None:
    versions = SHELVES[-1].versions
    with pytest.raises(UsageError, match="golden files are never written again"):
        make(here("again", **versions), copy.parent)


def test_they_are_small() -> None:
    together = sum(path.stat().st_size for path in DIRECTORY.rglob("*") if path.is_file())
    assert together <= LIMIT


def test_each_release_wrote_both_families_and_says_what_it_left_out() -> None:
    for shelf in SHELVES:
        families = {case.partition("-")[0] for case in shelf.manifest.cases}
        assert families == {"flux", "cogvideox"}
        assert shelf.versions["torchao"].startswith(shelf.name.removeprefix("torchao-") + ".")
        assert shelf.index.written == shelf.manifest.cases


# Read without the suite


@pytest.mark.parametrize("directory", CHECKPOINTS, ids=NAMES)
def test_an_independent_reader_finds_what_the_record_names(directory: Path) -> None:
    assert golden_reader.recorded(directory)
    assert golden_reader.check(directory) == []


def a_copy(kind: str, place: Path) -> tuple[Path, Path]:
    """Return a copy of a golden file, and its only weight file."""
    directory = next(each for each in CHECKPOINTS if list(each.rglob(kind)))
    copy = Path(shutil.copytree(directory, place / "copy"))
    (path,) = copy.rglob(kind)
    return copy, path


def test_the_independent_reader_notices_one_bit_of_safetensors(tmp_path: Path) -> None:
    copy, path = a_copy("*.safetensors", tmp_path)
    largest = max(golden_reader.safetensors_runs(path), key=len)
    flip(path, path.read_bytes().index(largest) + 3)
    assert len(golden_reader.check(copy)) == 1


def test_the_independent_reader_notices_one_bit_of_a_pickle(tmp_path: Path) -> None:
    copy, path = a_copy("*.bin", tmp_path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    storages = [name for name in entries if "/data/" in name]
    entries[max(storages, key=lambda name: len(entries[name]))][3] ^= 1
    with zipfile.ZipFile(path, "w") as archive:  # with a checksum that fits
        for name, data in entries.items():
            archive.writestr(name, bytes(data))
    assert len(golden_reader.check(copy)) == 1


def test_the_independent_reader_knows_neither_torch_nor_the_suite() -> None:
    text = Path(golden_reader.__file__).read_text(encoding="utf-8")
    imported = {line.split()[1].partition(".")[0] for line in text.splitlines() if is_import(line)}
    assert imported == {"json", "pickletools", "zipfile", "collections", "pathlib", "typing"} | {
        "numpy",
        "xxhash",
    }


def is_import(line: str) -> bool:
    return line.startswith(("import ", "from "))


# Read by the installed versions


@pytest.fixture(scope="module")
def readings() -> dict[str, Outcome]:
    return read_all(SHELVES)


@pytest.mark.parametrize("item", items(SHELVES), ids=str)
def test_the_installed_versions_read_it_as_declared(
    item: ReadingOf, readings: dict[str, Outcome]
) -> None:
    outcome = readings[str(item)]
    judgement = judge(outcome, active(expected(SHELVES), observed_versions()))
    assert judgement.as_expected, to_text(case_report(outcome, judgement))


def test_every_expectation_names_a_golden_file() -> None:
    for each in expected(SHELVES):
        assert any(each.about(str(item)) for item in items(SHELVES)), each.name


def test_records_are_of_the_case_and_the_release_that_they_lie_under() -> None:
    for shelf in SHELVES:
        for case in shelf.manifest.cases:
            record = Record.load(shelf.directory / case)
            assert (record.case, dict(record.versions)) == (case, dict(shelf.versions))


def test_a_directory_without_golden_files_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no golden files in"):
        shelves(tmp_path)
    (tmp_path / "torchao-0.1").mkdir()
    (tmp_path / "torchao-0.1" / "MANIFEST.json").write_text(json.dumps({"schema": 7}))
    with pytest.raises(UsageError, match="manifest schema 7, this suite reads 1"):
        shelves(tmp_path)


def test_shelves_are_in_the_order_of_the_releases() -> None:
    def release(shelf: Shelf) -> tuple[int, ...]:
        return tuple(map(int, shelf.versions["torchao"].split(".")))

    assert [each.name for each in SHELVES] == [each.name for each in sorted(SHELVES, key=release)]
