"""What happens in a directory before, and while, a checkpoint is saved there.

Declared here; played in a process that holds the models (`playing.py`), which is the `Stage`.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Protocol

from conformance._compat import StrEnum

FORMATS = ("pickle", "pickle-sharded", "safetensors", "safetensors-sharded")
"""The formats of `save_pretrained`, which share a directory."""
KILLS = 20
FULL = (0, 500, 5_000, 15_000, 60_000, 110_000)
"""Bytes after which no file takes more; a single file of the tiny model has about 120,000."""
READINGS = 12
"""How often a directory is read while others save there."""
NEW, OLD, PLAIN, FLOAT8, OTHER = "new", "old", "plain", "float8", "other"
"""Contents: a quantized model, an earlier state of it, the same unquantized, by another scheme,
and a model of another family."""
PLACE = "checkpoint"


class Kind(StrEnum):
    """What sort of past it is."""

    OVER_FORMAT = "over-another-format"
    OVER_CONTENT = "over-other-content"
    BROKEN_OFF = "killed"
    AFTER_HALF = "after-half-a-save"
    FULL_DISK = "full-disk"
    ODD_PLACE = "odd-place"
    LINKED = "linked"
    OVER_ITSELF = "over-itself"
    AT_ONCE = "two-at-once"
    MEANWHILE = "read-while-saved"


class Stage(Protocol):
    """Where a scene is played. A save that raises ends the scene."""

    def save(self, what: str, form: str, directory: Path) -> None:
        """Save a content in a format."""

    def over_itself(self, form: str, directory: Path) -> None:
        """Load what is there and save it to the same place, in a process of its own."""

    def killed(self, what: str, form: str, directory: Path, share: float) -> None:
        """Save in a process that is killed after a share of the time that a save takes."""

    def limited(self, what: str, form: str, directory: Path, size: int) -> None:
        """Save where no file takes more than `size` bytes."""

    def at_once(self, form: str, directory: Path) -> None:
        """Save the new and the old content at the same time."""

    def meanwhile(self, form: str, directory: Path) -> None:
        """Go on saving the new and the old content in turn, while the directory is read."""


@dataclass(frozen=True)
class Scene:
    """One past, and what may be loaded afterwards."""

    kind: Kind
    name: str
    form: str
    """The format of the last save, by whose loader it is read."""
    play: Callable[[Stage, Path], None]
    """Is given an empty directory, in which `place` is what is read."""
    wanted: tuple[str, ...] = (NEW,)
    """Contents that may come back; anything else must be an error."""
    place: str = PLACE
    readings: int = 1

    @property
    def id(self) -> str:
        """`kind/name.format`."""
        return f"{self.kind}/{self.name}.{self.form}"


def scenes() -> Iterator[Scene]:
    """Yield every scene."""
    for form in FORMATS:
        yield from _over(form)
        yield from _broken_off(form)
        yield from _after_half(form)
        yield from _full(form)
        yield from _odd_places(form)
        yield from _linked(form)
        yield Scene(Kind.OVER_ITSELF, "loaded-and-saved", form, partial(_itself, form))
        yield Scene(Kind.AT_ONCE, "new-and-old", form, partial(_at_once, form), (NEW, OLD))
        meanwhile = partial(_meanwhile, form)
        yield Scene(Kind.MEANWHILE, "new-and-old", form, meanwhile, (NEW, OLD), readings=READINGS)


def _over(form: str) -> Iterator[Scene]:
    for before in FORMATS:
        play = partial(_twice, OLD, before, NEW, form)
        yield Scene(Kind.OVER_FORMAT, f"over-{before}", form, play)
    for first, last in ((PLAIN, NEW), (NEW, PLAIN), (FLOAT8, NEW), (OTHER, NEW)):
        play = partial(_twice, first, form, last, form)
        yield Scene(Kind.OVER_CONTENT, f"{last}-over-{first}", form, play, (last,))
    for before, (first, last) in product(FORMATS, ((PLAIN, NEW), (NEW, PLAIN))):
        if before != form:
            play = partial(_twice, first, before, last, form)
            yield Scene(Kind.OVER_CONTENT, f"{last}-over-{first}-{before}", form, play, (last,))


def _twice(first: str, before: str, last: str, form: str, stage: Stage, root: Path) -> None:
    stage.save(first, before, root / PLACE)
    stage.save(last, form, root / PLACE)


def _broken_off(form: str) -> Iterator[Scene]:
    random = Random(form)
    for number in range(KILLS):
        share = random.random()
        over = number % 2 == 0
        name = f"at-{share:.3f}{'-over-old' if over else ''}"
        wanted = (NEW, OLD) if over else (NEW,)
        yield Scene(Kind.BROKEN_OFF, name, form, partial(_killed, form, share, over), wanted)


def _killed(form: str, share: float, over: bool, stage: Stage, root: Path) -> None:
    if over:
        stage.save(OLD, form, root / PLACE)
    stage.killed(NEW, form, root / PLACE, share)


def _after_half(form: str) -> Iterator[Scene]:
    """A save that was killed half way in another format, and then a whole one."""
    for before in FORMATS:
        yield Scene(Kind.AFTER_HALF, f"of-{before}", form, partial(_half, before, form))


def _half(before: str, form: str, stage: Stage, root: Path) -> None:
    stage.save(OLD, before, root / PLACE)
    for path in sorted((root / PLACE).iterdir())[1:]:  # half of what is written behind config.json
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    stage.save(NEW, form, root / PLACE)


def _full(form: str) -> Iterator[Scene]:
    for size, over in product(FULL, (False, True)):
        name = f"{size}-bytes{'-over-old' if over else ''}"
        wanted = (NEW, OLD) if over else (NEW,)
        yield Scene(Kind.FULL_DISK, name, form, partial(_limited, form, size, over), wanted)


def _limited(form: str, size: int, over: bool, stage: Stage, root: Path) -> None:
    if over:
        stage.save(OLD, form, root / PLACE)
    stage.limited(NEW, form, root / PLACE, size)


ODD = {
    "spaces": "a name with  spaces",
    "non-ascii": "żółw-模型-é",
    "for-a-shell": "a;b$(touch ran)`touch ran`&'\"|",
    "an-option": "-rf",
    "a-new-line": "one\ntwo",
    "percent": "100%25%s{}",
    "longest-name": "n" * 255,
    "longest-path": "/".join(["d" * 200] * 18),
    "like-a-file": "diffusion_pytorch_model.safetensors",
    "like-a-repository": "owner/name",
    "above": "x/../checkpoint",
}


def _odd_places(form: str) -> Iterator[Scene]:
    for name, place in ODD.items():
        play = partial(_at, place, form)
        yield Scene(Kind.ODD_PLACE, name, form, play, place=place)


def _at(place: str, form: str, stage: Stage, root: Path) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / "x").mkdir(exist_ok=True)
    stage.save(NEW, form, root / place)


ELSEWHERE = "elsewhere"


def _linked(form: str) -> Iterator[Scene]:
    to_directory = partial(_to_directory, form)
    yield Scene(Kind.LINKED, "the-directory", form, to_directory)
    yield Scene(Kind.LINKED, "each-file", form, partial(_to_files, form))
    name = "each-file-and-what-they-link-to"
    yield Scene(Kind.LINKED, name, form, partial(_to_files, form), (OLD,), ELSEWHERE)
    name = "hard-links-and-the-other-directory"
    yield Scene(Kind.LINKED, name, form, partial(_hard, form), (OLD,), ELSEWHERE)


def _to_directory(form: str, stage: Stage, root: Path) -> None:
    (root / ELSEWHERE).mkdir()
    (root / PLACE).symlink_to(root / ELSEWHERE)
    stage.save(NEW, form, root / PLACE)


def _to_files(form: str, stage: Stage, root: Path) -> None:
    """As in the cache of the Hub: files that are links to another place."""
    stage.save(OLD, form, root / ELSEWHERE)
    (root / PLACE).mkdir()
    for path in (root / ELSEWHERE).iterdir():
        (root / PLACE / path.name).symlink_to(path)
    stage.save(NEW, form, root / PLACE)


def _hard(form: str, stage: Stage, root: Path) -> None:
    """As `cp -l` copies a directory."""
    stage.save(OLD, form, root / ELSEWHERE)
    (root / PLACE).mkdir()
    for path in (root / ELSEWHERE).iterdir():
        os.link(path, root / PLACE / path.name)
    stage.save(NEW, form, root / PLACE)


def _itself(form: str, stage: Stage, root: Path) -> None:
    stage.save(NEW, form, root / PLACE)
    stage.over_itself(form, root / PLACE)


def _at_once(form: str, stage: Stage, root: Path) -> None:
    stage.at_once(form, root / PLACE)


def _meanwhile(form: str, stage: Stage, root: Path) -> None:
    stage.save(OLD, form, root / PLACE)
    stage.meanwhile(form, root / PLACE)
