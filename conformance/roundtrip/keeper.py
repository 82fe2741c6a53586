"""The process that writes for `keep`: one case after another, each into a directory."""

import os
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from conformance.case import find
from conformance.roundtrip import worker


def keeper(connection: Connection, workshop_directory: str) -> None:
    """Write the cases that arrive as `(case id, directory)`, until None does.

    It works inside its workshop: a model that it reads there has the subject for its name in
    `config.json`, and no temporary directory of this machine.
    """
    directory = Path(workshop_directory)
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        from conformance.roundtrip.run import write_only
        from conformance.roundtrip.workshop import Workshop

        worker.resolve_all()
        os.chdir(directory)
        workshop = Workshop(Path())
        while (request := connection.recv()) is not None:
            case_id, target = request
            work = partial(write_only, find(case_id), workshop, Path(target))
            worker.answer(connection, case_id, work)
