"""What results files say of every expectation: `judging/measured.json`, which the catalogue reads.

    python -m conformance.report.measured RESULTS... > measured.json
    python -m conformance.report.measured --add RESULTS... > measured.json.new

RESULTS are files of `conformance run` and of `conformance exchange -w golden`, in any order. With
`--add` the shipped measurements stay, and only expectations of which they have no sample are
looked for: a new format needs no run of everything under every release.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from conformance.errors import UsageError
from conformance.judging.exchange import label
from conformance.judging.exchange_results import ExchangeResults, read_exchange
from conformance.judging.measured import Observed, to_json
from conformance.judging.results import read_results
from conformance.report.catalogue import expectations, measurements, workarounds
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import Outcome


def measured(paths: Iterable[Path]) -> dict[str, Any]:
    """Return what the files say, ready for JSON.

    Raises:
        UsageError: a file cannot be read.
    """
    runs = sorted((run for path in paths for run in observed(path)), key=_newest, reverse=True)
    proofs = [case for each in workarounds() for case in each.cases]
    return to_json(expectations(), proofs, runs)


def added(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the shipped measurements, and those of expectations that they do not have.

    Raises:
        UsageError: a file cannot be read.
    """
    known, new = measurements(), measured(paths)
    held = {name: each for name, each in known["expectations"].items() if each["samples"]}
    names = [each.name for each in expectations()]
    return {
        "environments": {**known["environments"], **new["environments"]},
        "expectations": {name: held.get(name, new["expectations"][name]) for name in names},
        "proofs": {**new["proofs"], **known["proofs"]},
    }


def observed(path: Path) -> Iterator[Observed]:
    """Yield what each environment gave, of a run or of an exchange.

    Raises:
        UsageError: the file is neither.
    """
    with path.open(encoding="utf-8") as file:
        exchange = '"kind": "exchange"' in file.readline()
    if exchange:
        yield from _readers(read_exchange(path))
        return
    results = read_results(path)
    outcomes = {case: each.outcome for case, each in results.cases.items()}
    yield Observed(label(results.header.versions), results.header.versions, outcomes)


def _readers(results: ExchangeResults) -> Iterator[Observed]:
    for reader, versions in results.header.readers.items():
        cells = (cell for cell in results.cells if cell.reader == reader)
        found = (_readings(cell.writer, cell.readings) for cell in cells if cell.readings)
        outcomes = {each.case: each for readings in found for each in readings}
        yield Observed(label(versions), versions, outcomes)


def _readings(writer: str, readings: Readings) -> Iterator[Outcome]:
    """Yield the ways of reading, with ids as golden files have them."""
    ways = {"loader": readings.loader, "weights": readings.weights, "config": readings.config}
    for way, outcome in ways.items():
        if outcome is not None:
            yield replace(outcome, case=f"{readings.case}@{writer}~{way}")


def _newest(run: Observed) -> tuple[Version, Version]:
    return Version(run.versions["torchao"]), Version(run.versions["diffusers"])


if __name__ == "__main__":
    try:
        adding, *files = sys.argv[1:] if "--add" in sys.argv[1:2] else ("", *sys.argv[1:])
        made = added(map(Path, files)) if adding else measured(map(Path, files))
        print(json.dumps(made, indent=1))
    except UsageError as error:
        sys.exit(str(error))
