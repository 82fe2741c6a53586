"""Make `readers.json` of the results of exchanges and of the checkpoints that were exchanged.

    python -m conformance.inspection.measured golden.jsonl six.jsonl=KEPT all.jsonl=KEPT

Each result is a file of `conformance exchange --results`, with the directory of its `--kept` behind
an equals sign; without one its checkpoints are the golden files. Every checkpoint is inspected as
`conformance inspect` does, and what the readers got is filed under what inspection sees.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from conformance.errors import UsageError
from conformance.inspection.fingerprint import fingerprints
from conformance.inspection.readers import DATA, NO_CONFIG, UNMEASURED, Read, worst
from conformance.inspection.sources import Folder
from conformance.inspection.whole import checkpoints
from conformance.judging.exchange import Cell, Exchanged
from conformance.judging.exchange_results import ExchangeResults, read_exchange
from conformance.versions.exchange import DEFAULT
from conformance.versions.golden import DIRECTORY, shelves

LETTERS = {
    Exchanged.BITS_EQUAL: Read.EQUAL,
    Exchanged.ALTERED: Read.ALTERED,
    Exchanged.REFUSED: Read.REFUSED,
    Exchanged.FAILED: Read.FAILED,
    Exchanged.OUTPUT_DIFFERS: Read.DIFFERS,
    Exchanged.CORRUPT: Read.CORRUPT,
}


@dataclass(frozen=True)
class Seen:
    """What inspection sees of a checkpoint."""

    forms: frozenset[str]
    config: str
    names: frozenset[str]


@dataclass(frozen=True)
class Exchange:
    """One results file, and where its checkpoints are."""

    results: ExchangeResults
    writers: Mapping[str, Path]
    """Directory of each writer, by label."""
    golden: bool

    @property
    def command(self) -> str:
        """What made the results, as far as their header tells."""
        header = self.results.header
        writers = ["golden"] if self.golden else [each.split(",")[0] for each in header.writers]
        asked = [f"-w {each}" for each in writers]
        asked += [f"-r {each.split(',')[0]}" for each in header.readers]
        if header.globs != DEFAULT:
            asked += [f"-s '{each}'" for each in header.globs]
        return " ".join(["conformance exchange", *asked])


def exchange(argument: str) -> Exchange:
    """Read `FILE` or `FILE=KEPT`.

    Raises:
        UsageError: there is no such file, or it is not of an exchange.
    """
    file, _, kept = argument.partition("=")
    results = read_exchange(Path(file))
    if kept:
        writers = {label: Path(kept) / label for label in results.header.writers}
        return Exchange(results, writers, golden=False)
    writers = {shelf.manifest.label: shelf.directory for shelf in shelves(DIRECTORY)}
    return Exchange(results, writers, golden=True)


def see(directory: Path) -> Seen:
    """Inspect one kept checkpoint."""
    (found,) = checkpoints(Folder(directory / "checkpoint"), frozenset())
    loaded = found.loaded
    return Seen(
        forms=fingerprints(loaded.weights, loaded.container),
        config=NO_CONFIG if found.config is None else found.config.key,
        names=frozenset(
            name for file in loaded.files for name in file.names if name.startswith("torchao.")
        ),
    )


Key = tuple[frozenset[str], str, str, str]
"""Forms, config, scheme, writer."""


def filed(exchanges: Iterable[Exchange]) -> tuple[dict[Key, list[tuple[str, Cell]]], list[str]]:
    """File every measured cell under what inspection sees of its checkpoint.

    Returns:
        The version of the reader and the cell, by key; and what the pickles name of torchao.
    """
    cells: dict[Key, list[tuple[str, Cell]]] = {}
    seen: dict[Path, Seen] = {}
    for each in exchanges:
        header = each.results.header
        for cell in each.results.cells:
            if cell.readings is None:
                continue
            directory = each.writers[cell.writer] / cell.case
            if directory not in seen:
                seen[directory] = see(directory)
            now = seen[directory]
            scheme, written = cell.case.split(".")[1], header.writers[cell.writer]["torchao"]
            key = (now.forms, now.config, scheme, written)
            cells.setdefault(key, []).append((header.readers[cell.reader]["torchao"], cell))
    return cells, sorted({name for each in seen.values() for name in each.names})


def _order(key: Key) -> tuple[object, ...]:
    forms, config, scheme, writer = key
    return scheme, Version(writer), config, sorted(forms)


def _row(key: Key, cells: list[tuple[str, Cell]], readers: list[str]) -> dict[str, Any]:
    forms, config, scheme, writer = key
    loader = [(version, cell.verdict) for version, cell in cells]
    weights = [(version, cell.weights) for version, cell in cells]
    return {
        "scheme": scheme,
        "writer": writer,
        "forms": sorted(forms),
        "config": config,
        "loader": _letters(loader, readers),
        "weights": _letters(weights, readers),
        "cases": len({cell.case for _, cell in cells}),
    }


def _letters(verdicts: list[tuple[str, Exchanged | None]], readers: list[str]) -> str:
    """Return the worst of each reader."""
    found = ""
    for reader in readers:
        mine = [LETTERS[v] for version, v in verdicts if version == reader and v is not None]
        found += worst(mine) if mine else UNMEASURED
    return found


def data(exchanges: Iterable[Exchange], command: str) -> dict[str, Any]:
    """Return the content of `readers.json`."""
    exchanges = tuple(exchanges)
    versions = {
        each["torchao"]: {name: each[name] for name in ("torch", "diffusers", "safetensors")}
        for results in exchanges
        for each in results.results.header.readers.values()
    }
    readers = sorted(versions, key=Version)
    cells, names = filed(exchanges)
    found = [_row(key, cells[key], readers) for key in sorted(cells, key=_order)]
    forms = sorted({form for row in found for form in row["forms"]})
    configs = sorted({row["config"] for row in found})
    numbers = {form: number for number, form in enumerate(forms)}
    places = {config: number for number, config in enumerate(configs)}
    for row in found:
        row["forms"] = [numbers[each] for each in row["forms"]]
        row["config"] = places[row["config"]]
    return {
        "command": command,
        "exchanges": [each.command for each in exchanges],
        "readers": {version: versions[version] for version in readers},
        "names": names,
        "configs": configs,
        "forms": forms,
        "rows": found,
    }


def text(content: Mapping[str, Any]) -> str:
    """Return it with a line a row, so that a difference can be read."""
    lines = []
    for name, value in content.items():
        if isinstance(value, list):
            inner = ",\n  ".join(json.dumps(each, ensure_ascii=True) for each in value)
            lines.append(f' "{name}": [\n  {inner}\n ]')
        else:
            lines.append(f' "{name}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: list[str]) -> None:
    """Write `readers.json` from what the arguments name.

    Raises:
        UsageError: an argument is no result of an exchange.
    """
    if not arguments:
        raise UsageError(__doc__ or "")
    command = " ".join(["python -m conformance.inspection.measured", *map(_short, arguments)])
    DATA.write_text(text(data(map(exchange, arguments), command)), encoding="utf-8")


def _short(argument: str) -> str:
    """An argument without the directories of this machine."""
    file, kept, _ = argument.partition("=")
    return Path(file).name + ("=KEPT" if kept else "")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as error:
        sys.exit(str(error))
