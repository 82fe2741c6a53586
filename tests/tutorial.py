"""A tutorial that can be run: what is in its blocks is done, what it shows is what was printed.

    python tests/tutorial.py docs/tutorials/PAGE.md...    # write anew what commands print

A block "```console" holds a command behind `$ ` and what it prints; a block with `title="PATH"` is
a file. They count in the order of the page, in one copy of the checkout. `...` on a line of its own
stands for lines that the page leaves out, and is kept while the rest still matches.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r'^(?P<fence>`{3,})(?P<kind>\w+)(?: title="(?P<path>[^"]+)")?\n(?P<body>.*?)^(?P=fence)$',
    re.DOTALL | re.MULTILINE,
)
PROMPT = "$ "
CONTINUED = "> "
VARIES = re.compile(
    r"\b\d+(?:\.\d+)? (?:ms|s)\b|\bin \d+\.\d+s\b"  # times of stages, of a gate, of pytest
    r"|(?<=\d)\+(?:cpu|cu\d+)\b|(?<=\b3\.\d\d)\.\d+\b"  # the build of torch, the patch of Python
    r"|^\.+(?= +\[100%\])",  # tests that passed
    re.MULTILINE,
)
WIDTH = "100"


@dataclass(frozen=True)
class Step:
    """A file to write, or a command with what the page says that it prints."""

    path: str
    command: str
    shown: str
    span: tuple[int, int]
    """Where what is shown stands in the page."""


def steps(page: str) -> Iterator[Step]:
    """Yield what a page asks its reader to do, in order."""
    for block in BLOCK.finditer(page):
        body, start = block["body"], block.start("body")
        if block["path"]:
            yield Step(block["path"], "", body, (start, block.end("body")))
        elif block["kind"] == "console":
            lines = body.splitlines(keepends=True)
            more = len([*takewhile(lambda line: line.startswith(CONTINUED), lines[1:])])
            asked = "".join(each[len(PROMPT) :] for each in lines[: more + 1])
            shown = "".join(lines[more + 1 :])
            begin = start + len(body) - len(shown)
            yield Step("", asked.rstrip("\n"), shown, (begin, begin + len(shown)))


def done(step: Step, folder: Path, environment: Mapping[str, str]) -> str:
    """Do a step in the folder, and return what it printed."""
    if step.path:
        path = folder / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.shown, encoding="utf-8")
        return step.shown
    said = subprocess.run(
        ["bash", "-c", step.command],
        cwd=folder,
        env={**environment, "COLUMNS": WIDTH},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # progress
        text=True,
        check=False,
    ).stdout
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines()).lstrip("\n")


def matches(shown: str, said: str) -> bool:
    """Did a command print what the page shows, but for times, builds, spaces and gaps?"""
    parts = [re.escape(_words(each)) for each in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]
    return re.fullmatch(".*".join(parts), _words(said), re.DOTALL) is not None


def _words(text: str) -> str:
    return " ".join(VARIES.sub("", text).split())


def checkout(folder: Path) -> Mapping[str, str]:
    """Copy what a checkout needs into a folder, and return the variables that make it count."""
    for name in ("conformance", "fixtures", "tests", "ci"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    return {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1"}


def followed(page: str, folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[Step, str]]:
    """Do everything that a page asks for, in the folder, and yield what each step printed."""
    for step in steps(page):
        yield step, done(step, folder, environment)


def written_anew(page: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Return the page with what its commands print today."""
    made, at = "", 0
    for step, said in followed(page, folder, environment):
        begin, end = step.span
        made += page[at:begin] + (step.shown if matches(step.shown, said) else said)
        at = end
    return made + page[at:]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            text = written_anew(path.read_text("utf-8"), folder, checkout(folder))
        path.write_text(text, encoding="utf-8")
