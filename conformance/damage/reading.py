"""The process that reads damaged checkpoints: one after the other, with a limit on its memory."""

import logging
import os
import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.case import Case, find
from conformance.damage.executes import RAN
from conformance.roundtrip import worker

ROOM = 2 * 2**30
"""Bytes of address space that a reader may take beyond what it has when it starts."""
LOADED = "loaded"
MARK = "ran"
"""The file that a pickle makes which was executed; it lies beside the log."""
NOT_ENOUGH = ("allocate memory", "not enough memory", "MemoryError", "os error 12")
"""How libraries say that there is no memory."""


def reader(connection: Connection, log: str) -> None:
    """Read directories, as `(case id, directory)`, until None comes."""
    with worker.at_work(Path(log)):
        if not worker.libraries_import(connection):
            return
        limited(log)
        while (request := connection.recv()) is not None:
            case_id, directory = request
            for message in read(find(case_id), Path(directory)):
                connection.send(message)


def limited(log: str) -> None:
    """Limit this process, and say where a pickle that is executed leaves its mark.

    A loader that does not find what it wants would ask the Hub: it is told to stay offline.
    """
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    limit_memory(ROOM)
    os.environ[RAN] = str(Path(log).with_name(MARK))


def limit_memory(room: int) -> None:
    """Let this process have so many bytes more than it has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    now = pages * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + room, hard))


def read(case: Case, directory: Path) -> Iterator[dict[str, Any]]:
    """Yield what was loaded, and then what it computes: calling it may end the process."""
    from conformance.roundtrip.facts import ModelFacts
    from conformance.roundtrip.observe import observe
    from conformance.roundtrip.verify import load

    facts: ModelFacts | None = None
    with heard() as warned:
        try:
            model = load(case, directory).model
            facts = observe(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
            yield {"error": [type(error).__name__, str(error)], "memory": _no_memory(error)}
            return
    yield {
        LOADED: facts.to_json()["tensors"],
        "config": _config(model),
        "warned": sorted(set(warned)),
    }
    yield {"output": _output(case, model, facts)}


def _no_memory(error: BaseException) -> bool:
    text = f"{type(error).__name__}: {error}"
    return any(each in text for each in NOT_ENOUGH)


def _config(model: Any) -> dict[str, Any]:
    """Return what the model says of itself, without what names a place."""
    said = {key: value for key, value in dict(model.config).items() if key != "_name_or_path"}
    return {key: repr(said[key]) for key in sorted(said)}


def _output(case: Any, model: Any, facts: Any) -> str:
    """Return the digest of the output, or `Type: message`."""
    from conformance.axes import models
    from conformance.roundtrip.observe import digest
    from conformance.roundtrip.verify import on_meta

    if on_meta(facts):
        return "a tensor: on the meta device"  # calling it would compute with stray memory
    try:
        return digest(models.forward(model, models.inputs(case.subject)))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
        return f"{type(error).__name__}: {error}"


class _Ear(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


@contextmanager
def heard() -> Iterator[list[str]]:
    """Gather what the libraries warn of, by either way."""
    said: list[str] = []
    ear = _Ear(said)
    loggers = [logging.getLogger(name) for name in ("", "diffusers", "torchao", "transformers")]
    for each in loggers:
        each.addHandler(ear)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield said
        said += [str(each.message) for each in warned]
    finally:
        for each in loggers:
            each.removeHandler(ear)
