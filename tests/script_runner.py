"""Run repros as their readers do, but in children forked from a process that has torch.

Starting Python with torch takes seconds, a fork does not. A script that starts another process
starts a real one.
"""

import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.roundtrip.engine import context

Before = Callable[[], None]
"""What is done to the libraries before the script; it must be picklable."""


@dataclass(frozen=True)
class Ran:
    """What came of a script."""

    code: int
    output: str
    """Standard output and error."""


def run(text: str, directory: Path, *before: Before) -> Ran:
    """Run one script in a child of its own; it ends within two minutes."""
    (ran,) = run_in_turn([text], directory, *before)
    return ran


def run_in_turn(texts: list[str], directory: Path, *before: Before) -> list[Ran]:
    """Run scripts one after another in the same child."""
    paths = []
    for number, text in enumerate(texts):
        place = directory / str(number)
        place.mkdir()
        (place / "repro.py").write_text(text, encoding="utf-8")
        paths.append(str(place / "repro.py"))
    process = context().Process(target=_child, args=(paths, before))
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
    return list(_read(paths))


def _read(paths: list[str]) -> Iterator[Ran]:
    for path in map(Path, paths):
        code = path.with_name("code")
        ended = int(code.read_text()) if code.exists() else -1
        yield Ran(ended, path.with_name("output").read_text(encoding="utf-8"))


def _child(paths: list[str], before: tuple[Before, ...]) -> None:
    for path in map(Path, paths):
        tempfile.tempdir = str(path.parent)
        with path.with_name("output").open("w", encoding="utf-8") as output:
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            sys.stdout = sys.stderr = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            code = _code(path, before)
            sys.stdout.flush()
        path.with_name("code").write_text(str(code))


def _code(path: Path, before: tuple[Before, ...]) -> int:
    """Return the exit code that Python would give."""
    sys.argv = [str(path)]
    try:
        for each in before:
            each()
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as Python does at the top
        traceback.print_exc()
        return 1
    return 0
