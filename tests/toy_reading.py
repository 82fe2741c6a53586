"""Stands in for `conformance/roundtrip/reading.py` in `toysuite`: toyhost reads the checkpoints.

What came back is compared with the record: values are bits, the flag `trained` is what does not
matter to an output.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import toyhost

from conformance.roundtrip import worker
from conformance.roundtrip.kept import CHECKPOINT, Way, quantization_of
from conformance.roundtrip.ladder import BrokenError, Ladder
from conformance.roundtrip.outcome import Finding, Harm, Outcome, Reader, Stage


def reader(connection: Connection, log: str) -> None:
    """Read checkpoints, as `(way, case id, directory)`, until None comes."""
    with worker.at_work(Path(log)):
        while (request := connection.recv()) is not None:
            way, case, directory = request
            worker.answer(connection, case, partial(_read, Way(way), case, Path(directory)))


def _read(way: Way, case: str, directory: Path, announce: Callable[[Stage], None]) -> Outcome:
    ladder = Ladder(Reader.FRESH, announce)
    try:
        with ladder.stage(Stage.LOAD):
            if way is Way.CONFIG:
                toyhost.accept(quantization_of(directory))
                return Outcome(case)
            load = toyhost.from_pretrained if way is Way.LOADER else toyhost.load
            got = load(directory / CHECKPOINT, case)
    except BrokenError as error:
        return Outcome(case, tuple(ladder.steps), failure=error.failure)
    wanted = json.loads((directory / "record.json").read_text())
    return Outcome(case, tuple(ladder.steps), tuple(_differences(wanted, got)))


def _differences(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> Iterator[Finding]:
    for check, stage, harm, names in (
        ("bits", Stage.BITS, Harm.CORRUPT, ("values", "scale")),
        ("output", Stage.OUTPUT, Harm.CORRUPT, ("output",)),
        ("requires_grad", Stage.STRUCTURE, Harm.ALTERED, ("trained",)),
    ):
        for name in names:
            if wanted[name] != got[name]:
                said = f"{name} differs"
                yield Finding(
                    check, stage, harm, name, said, str(wanted[name]), str(got[name]), Reader.FRESH
                )
