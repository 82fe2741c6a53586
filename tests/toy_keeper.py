"""Stands in for `conformance/roundtrip/keeper.py` in `toysuite`: toyhost writes the checkpoints.

`TOY_FULL_AT` names a case at which the disk is full.
"""

import errno
import json
import os
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import toyhost

from conformance.errors import UnavailableError
from conformance.roundtrip import worker
from conformance.roundtrip.ladder import BrokenError, Ladder, NoResultError
from conformance.roundtrip.outcome import Outcome, Reader, Stage


def keeper(connection: Connection, workshop_directory: str) -> None:
    """Write the cases that arrive as `(case id, directory)`, until None does."""
    with worker.at_work(Path(workshop_directory) / worker.LOG):
        while (request := connection.recv()) is not None:
            case, directory = request
            worker.answer(connection, case, partial(write, case, Path(directory)))


def write(case: str, directory: Path, announce: Callable[[Stage], None]) -> Outcome:
    ladder = Ladder(Reader.SAME, announce)
    try:
        with ladder.stage(Stage.RESOLVE):
            if case not in toyhost.outcomes():
                raise UnavailableError(f"toyquant {toyhost.quantizer()} does not have it")
        with ladder.stage(Stage.SAVE):
            checkpoint = directory / "checkpoint"
            checkpoint.mkdir()
            if os.environ.get("TOY_FULL_AT") == case:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            record = toyhost.save_pretrained(checkpoint, case)
        (directory / "record.json").write_text(json.dumps(record))
    except BrokenError as error:
        return Outcome(case, tuple(ladder.steps), failure=error.failure)
    except NoResultError as error:
        return Outcome(case, tuple(ladder.steps), no_result=error.no_result)
    return Outcome(case, tuple(ladder.steps))
