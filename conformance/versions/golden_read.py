"""Read the golden files with the installed versions, and what is declared to come of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.case import find
from conformance.judging.expectations import Expectation, load_expectations
from conformance.roundtrip.checks import check_names
from conformance.roundtrip.kept import Readings, Request, Way, quantization_of
from conformance.roundtrip.outcome import Outcome
from conformance.roundtrip.readback import read_back
from conformance.versions.golden import DIRECTORY, Shelf

EXPECTED = "expected.toml"


@dataclass(frozen=True)
class ReadingOf:
    """One way of reading one golden file."""

    case: str
    label: str
    """The versions that wrote it."""
    way: Way

    def __str__(self) -> str:
        """Return its id, which expectations name: `case@torchao0.17.0,diffusers0.42.1~loader`."""
        return f"{self.case}@{self.label}~{self.way}"


def items(shelves: Iterable[Shelf]) -> list[ReadingOf]:
    """Return every reading there is: a way that says nothing new is left out."""
    return [
        ReadingOf(case, shelf.manifest.label, way)
        for shelf in shelves
        for case in shelf.manifest.cases
        for way in _ways(case, shelf.directory / case)
    ]


def _ways(case: str, directory: Path) -> Iterator[Way]:
    yield Way.LOADER
    if find(case).format.has_config:
        yield Way.WEIGHTS
        if quantization_of(directory) is not None:
            yield Way.CONFIG


def read_all(
    shelves: Iterable[Shelf], one_more: Callable[[], None] = lambda: None
) -> dict[str, Outcome]:
    """Read every golden file every way in fresh processes; the outcomes by id.

    Args:
        shelves: where they lie.
        one_more: is called when a checkpoint was read.

    Raises:
        UsageError: the libraries under test do not import.
    """
    asked = {shelf.manifest.label: shelf for shelf in shelves}
    wanted = set(items(asked.values()))
    requests = [
        Request(label, shelf.directory, shelf.manifest.cases) for label, shelf in asked.items()
    ]
    found: dict[ReadingOf, Outcome] = {}
    for readings in read_back(requests):
        found |= dict(_outcomes(readings))
        one_more()
    return {
        str(item): replace(outcome, case=str(item))
        for item, outcome in found.items()
        if item in wanted
    }


def _outcomes(readings: Readings) -> Iterator[tuple[ReadingOf, Outcome]]:
    ways = {
        Way.LOADER: readings.loader,
        Way.WEIGHTS: readings.weights,
        Way.CONFIG: readings.config,
    }
    for way, outcome in ways.items():
        if outcome is not None:
            yield ReadingOf(readings.case, readings.writer, way), outcome


def expected(shelves: Iterable[Shelf], directory: Path = DIRECTORY) -> tuple[Expectation, ...]:
    """Return what is declared of the golden files, under any versions.

    Raises:
        UsageError: an entry is wrong, or is about no golden file.
    """
    ids = [str(item) for item in items(shelves)]
    return load_expectations([directory / EXPECTED], check_names(), ids)
