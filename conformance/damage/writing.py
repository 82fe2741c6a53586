"""The process that writes what is damaged later: each case twice, of two seeds."""

import os
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from conformance.case import Case, find
from conformance.roundtrip import worker

SEEDS = {"whole": 0, "stale": 1}
"""The directory of each checkpoint, and the seed of its weights."""


def writer(connection: Connection, place: str) -> None:
    """Write the cases that arrive as `(case id, directory)`, until None does."""
    directory = Path(place)
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        from conformance.roundtrip.run import write_only
        from conformance.roundtrip.workshop import Workshop

        worker.resolve_all()
        while (request := connection.recv()) is not None:
            case_id, target = request
            case: Case = find(case_id)
            for name, seed in SEEDS.items():
                workshop = directory / name
                workshop.mkdir(exist_ok=True)
                os.chdir(workshop)  # a model that is read there names no place of this machine
                work = partial(write_only, case, Workshop(Path(), seed), Path(target) / name)
                worker.answer(connection, case_id, work)
