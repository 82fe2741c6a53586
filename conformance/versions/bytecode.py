"""Compiled modules, shared between environments like the sources they were compiled from.

Importing torch in a new environment compiles 2,000 modules, which costs far more than linking it.
Where a module is the same file (the same inode) as in another environment, its compiled form there
holds here too: Python checks it by the time and size of the source, and mends the path in it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CACHED = "__pycache__"


def share_bytecode(donor: Path, taker: Path) -> int:
    """Link the compiled modules of one virtual environment into another; return how many."""
    return sum(
        _link(donor, taker, Path(folder), file)
        for folder, file in _compiled(donor)
        if (taker / Path(folder).relative_to(donor)).parent.is_dir()
    )


def _compiled(donor: Path) -> Iterator[tuple[str, str]]:
    for folder, _, files in os.walk(donor):
        if folder.endswith(CACHED):
            yield from ((folder, file) for file in files if file.endswith(".pyc"))


def _link(donor: Path, taker: Path, folder: Path, file: str) -> bool:
    """Link one, if its source is one file in both; a donor may be removed meanwhile."""
    target = taker / folder.relative_to(donor) / file
    source = f"{file.partition('.')[0]}.py"
    with suppress(OSError):
        if not target.exists() and (folder.parent / source).samefile(target.parents[1] / source):
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(folder / file)
            return True
    return False
