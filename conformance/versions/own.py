"""Ask an environment about somebody's own checkpoint, and show how far it is."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from conformance.environment import observed_versions
from conformance.errors import UsageError
from conformance.roundtrip.checkpoint import Asked
from conformance.roundtrip.own import Answer
from conformance.versions.party import Lines, Party, PartyError

MODULE = "conformance.roundtrip.own"
FILE = ".py"
Far = Callable[[str, int, int], object]
"""Is told what an environment is doing, and of how many bytes so many are done."""


class DiedError(Exception):
    """The process died; the message says how, and where it was."""


def here() -> Party:
    """Return the running interpreter as an environment."""
    return Party("here", observed_versions(), _start)


def _start(arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, *arguments], text=True, **options)


def ask(party: Party, what: str, asked: Asked, far: Far = lambda *_: None) -> Answer:
    """Have an environment `record` or `verify` a checkpoint.

    Raises:
        UsageError: there is no such checkpoint or record, or it cannot be read as asked.
        DiedError: the process ended without an answer.
    """
    doing = "starting"
    try:
        for line in Lines(party, (MODULE, what, *asked.arguments)):
            if "usage" in line:
                raise UsageError(line["usage"])
            if "answer" in line:
                return Answer.from_json(line["answer"])
            if "far" in line:
                doing = line["far"][0]
                far(*line["far"])
    except PartyError as error:
        raise DiedError(f"the process died while {doing}: {error}") from None
    raise DiedError(f"the process ended while {doing}, without an answer")


def absolute(name: str) -> str:
    """Return `file.py:name` with the whole path of the file; other names as they are.

    Raises:
        UsageError: the file is not there.
    """
    place, colon, what = name.rpartition(":")
    if not place.endswith(FILE):
        return name
    if not Path(place).is_file():
        raise UsageError(f"{place} is not there; give file{FILE}:name, or module:name")
    return f"{Path(place).absolute()}{colon}{what}"
