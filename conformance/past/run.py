"""Play scenes, and have readers read what is left."""

import shutil
import tempfile
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path

from conformance.damage.desk import Desk
from conformance.damage.fate import Reading
from conformance.past.playing import CONTENTS, case_of, player, reader
from conformance.past.result import Loader, Past, judged
from conformance.past.scenes import PLACE, Scene
from conformance.roundtrip import worker
from conformance.roundtrip.engine import EndedError, Worker
from conformance.roundtrip.ladder import HarnessError

TIMEOUT = 60.0
"""Seconds for a scene, and for a reading."""


def run(asked: Iterable[Scene], timeout: float = TIMEOUT) -> Generator[Past, None, None]:
    """Yield what each reading of each scene gave.

    Raises:
        HarnessError: a content is not read as it was written, or a scene cannot be played.
        UsageError: the libraries under test do not import.
    """
    with closing(Theatre(timeout)) as theatre:
        for scene in asked:
            yield from theatre.play(scene)


class Theatre:
    """A player, a reader, and a directory for both."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._place = Path(tempfile.mkdtemp(prefix="conformance-"))
        (self._place / "player").mkdir()
        self._player = Worker(player, str(self._place / "player"))
        self._desk = Desk(reader, self._place / worker.LOG, timeout)
        self._known: dict[str, dict[str, Reading]] = {}

    def close(self) -> None:
        """End both processes and remove every file."""
        self._desk.close()
        self._player.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def play(self, scene: Scene) -> list[Past]:
        """Play one scene and read what it leaves, by each loader."""
        known = self._known_in(scene.form)
        root = self._empty("scene")
        saved = self._told((scene.id, str(root)))
        case = case_of(scene.wanted[0], scene.form).id
        return [
            judged(scene, loader, saved, self._read(case, root / scene.place, loader), known)
            for loader in Loader
            for _ in range(scene.readings)
        ]

    def _known_in(self, form: str) -> dict[str, Reading]:
        """Return how each content is read that was saved into an empty directory."""
        if form not in self._known:
            self._known[form] = {what: self._clean(what, form) for what in CONTENTS}
        return self._known[form]

    def _clean(self, what: str, form: str) -> Reading:
        directory = self._empty("clean") / PLACE
        if said := self._told((what, form, str(directory))):
            raise HarnessError(f"{what} cannot be saved as {form}: {said}")
        first, second = (
            self._read(case_of(what, form).id, directory, Loader.OWN) for _ in range(2)
        )
        if first.tensors is None or first.tensors != second.tensors:
            raise HarnessError(f"{what} is not read as it was saved as {form}: {first.error}")
        return first

    def _read(self, case: str, directory: Path, loader: Loader) -> Reading:
        return self._desk.read((case, str(directory), loader is Loader.DEFAULT))

    def _told(self, request: tuple[str, ...]) -> str:
        self._player.send(request)
        try:
            return str(self._player.receive(self.timeout))
        except EndedError as ended:
            raise HarnessError(f"{request[0]} could not be played: {ended}") from None

    def _empty(self, name: str) -> Path:
        directory = self._place / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return directory
