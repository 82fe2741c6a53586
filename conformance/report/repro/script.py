"""A case as one script: pure text, made from the axes, the versions and what is to be shown."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from conformance.report.repro.body import functions, read_work, work, write_work
from conformance.report.repro.parts import Parts
from conformance.report.repro.plan import Repro
from conformance.report.repro.words import Words, words, words_of_driver, words_of_writer

LIMIT = 80
"""The most lines of a script."""
Say = Callable[[Repro, int], Words]
"""What is shown, and how many lines a fact may have -> what is said about it."""
TOO_LONG = "outputs are not compared, which would make this script too long"
STANDARD = (
    "copy",
    "hashlib",
    "json",
    "re",
    "subprocess",
    "sys",
    "tempfile",
    "traceback",
    "zipfile",
    "zlib",
)
"""Modules that lines of a script may use."""


@cache
def templates() -> Environment:
    """Return the templates of this package."""
    return Environment(
        loader=PackageLoader("conformance.report.repro"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )


def script(repro: Repro) -> str:
    """Return the script, in at most `LIMIT` lines.

    One that would be longer has less space between its functions; if that is not enough, one line
    for each fact in its docstring, and a passing case compares tensors alone.

    Raises:
        UsageError: an axis value has no lines for scripts.
    """
    text = _script(repro)
    if _lines(text) > LIMIT and repro.calls:
        return script(replace(repro, storage_only=TOO_LONG, note=_more(repro.note)))
    return text


def _more(note: str) -> str:
    return f"{note}; {TOO_LONG}" if note else TOO_LONG


def _lines(text: str) -> int:
    return text.count("\n")


def _script(repro: Repro) -> str:
    parts = Parts(repro)
    return _rendered(parts, functions(parts), work(parts))


def exchange_scripts(writer: Repro, reader: Repro) -> dict[str, str]:
    """Return three scripts by file name: one writes, one reads, and one runs both.

    Raises:
        UsageError: an axis value has no lines for scripts.
    """
    writes, reads = Parts(writer), Parts(reader)
    driver = templates().get_template("driver.py.j2").render(w=words_of_driver(reader))
    lines = functions(writes, writing=True)
    return {
        "writer.py": _rendered(writes, lines, write_work(writes), words_of_writer),
        "reader.py": _rendered(reads, functions(reads), read_work(reads)),
        "repro.py": driver,
    }


def _rendered(parts: Parts, before: list[str], lines: str, say: Say = words) -> str:
    template = templates().get_template("script.py.j2")
    imports = standard_imports("\n".join((*before, lines)))
    told = (say(parts.repro, most) for most in (2, 1, 0))
    texts = (
        template.render(p=parts, w=each, imports=imports, functions=before, work=lines)
        for each in told
    )
    return _first_short(_squeezed(each) for each in texts)


def _squeezed(text: str) -> str:
    return text if _lines(text) <= LIMIT else text.replace("\n\n\n", "\n\n")


def _first_short(texts: Iterable[str]) -> str:
    """Return the first that is short enough, or the last."""
    text = ""
    for text in texts:
        if _lines(text) <= LIMIT:
            break
    return text


def standard_imports(text: str) -> list[str]:
    """Return the import lines of the standard library that a text needs."""
    modules = [name for name in STANDARD if re.search(rf"\b{name}\.", text)]
    paths = ["from pathlib import Path"] if "Path(" in text else []
    return [
        *(f"import {name}" for name in modules),
        "from importlib.metadata import version",
        *paths,
    ]
