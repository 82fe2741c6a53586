"""The process that writes for `keep`: one case after another, each into a directory."""

import os
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.case import Case, find
from conformance.roundtrip import worker
from conformance.roundtrip.outcome import Outcome, Reader, Stage


def keeper(connection: Connection, workshop_directory: str) -> None:
    """Write the cases that arrive as `(case id, directory)`, until None does.

    It works inside its workshop: a model that it reads there has the subject for its name in
    `config.json`, and no temporary directory of this machine.
    """
    directory = Path(workshop_directory)
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        from conformance.roundtrip.workshop import Workshop

        worker.resolve_all()
        os.chdir(directory)
        workshop = Workshop(Path())
        while (request := connection.recv()) is not None:
            case_id, target = request
            work = partial(_write, find(case_id), workshop, Path(target))
            worker.answer(connection, case_id, work)


def _write(
    case: Case, workshop: Any, directory: Path, announce: Callable[[Stage], None]
) -> Outcome:
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.run import Log, kept_in
    from conformance.roundtrip.write import write

    log = Log(case, Ladder(Reader.SAME, announce))
    with kept_in(log):
        written = write(case, workshop, directory, log.ladder)
        log.findings += written.findings
        log.measures |= written.measures
        log.files = written.record.file_bytes
        log.storage_only = written.product.storage_only
    return log.outcome()
