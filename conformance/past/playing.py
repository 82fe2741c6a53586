"""The process that plays scenes: it holds the models, and forks what is to be killed or limited."""

import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.axes.base import Device
from conformance.case import Case, find
from conformance.damage.reading import limited, read
from conformance.past.scenes import FLOAT8, NEW, OLD, OTHER, PLAIN, scenes
from conformance.roundtrip import worker
from conformance.roundtrip.facts import ModelFacts

CONTENTS = {
    NEW: ("flux-tiny.int8wo", 0),
    OLD: ("flux-tiny.int8wo", 1),
    PLAIN: ("flux-tiny.int8wo", 0),
    FLOAT8: ("flux-tiny.float8wo", 0),
    OTHER: ("cogvideox-tiny.int8wo", 0),
}
"""Subject, scheme and seed of each content; the plain one is the model before it is quantized."""


def case_of(what: str, form: str) -> Case:
    """Return the case that a content is in a format."""
    return find(f"{CONTENTS[what][0]}.torchao-config.{form}.cpu")


def player(connection: Connection, place: str) -> None:
    """Play scenes, as `(id, directory)`, and save contents, as `(content, format, directory)`.

    Answers with what the last save raised, or an empty text; until None comes.
    """
    directory = Path(place)
    by_id = {each.id: each for each in scenes()}
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        stage = Models(directory)
        while (request := connection.recv()) is not None:
            stage.stop()
            if len(request) == 3:
                what, form, target = request
                connection.send(worker.raised(lambda: stage.save(what, form, Path(target))))  # noqa: B023
            else:
                scene, target = by_id[request[0]], Path(request[1])
                connection.send(worker.raised(lambda: scene.play(stage, target)))  # noqa: B023
        stage.stop()


class InterruptedSave(Exception):  # noqa: N818 - nothing went wrong: it was meant to be
    """A save did not end by itself, or raised in a process of its own."""


class Models:
    """The stage: contents made once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, tuple[Any, ModelFacts]] = {}
        self._times: dict[str, float] = {}
        self._going_on: list[int] = []

    def save(self, what: str, form: str, directory: Path) -> None:
        """Save a content in a format."""
        from conformance.roundtrip.workshop import shard_limit

        model, facts = self._model(what)
        saved = case_of(what, form).format
        saved.save(model, directory, shard_limit(saved, facts))

    def over_itself(self, form: str, directory: Path) -> None:
        """Load what is there and save it to the same place, in a process of its own."""
        from conformance.roundtrip.verify import load
        from conformance.roundtrip.workshop import shard_limit

        _, facts = self._model(NEW)
        case = case_of(NEW, form)

        def load_and_save() -> None:
            model = load(case, directory)
            case.format.save(model, directory, shard_limit(case.format, facts))

        ended(forked(load_and_save))

    def killed(self, what: str, form: str, directory: Path, share: float) -> None:
        """Save in a process that is killed after a share of the time that a save takes."""
        seconds = self._seconds(what, form)
        child = forked(lambda: self.save(what, form, directory))
        time.sleep(seconds * share)
        os.kill(child, signal.SIGKILL)
        ended(child)

    def limited(self, what: str, form: str, directory: Path, size: int) -> None:
        """Save where no file takes more than `size` bytes."""

        def save() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            self.save(what, form, directory)

        self._model(what)
        ended(forked(save))

    def at_once(self, form: str, directory: Path) -> None:
        """Save the new and the old content at the same time."""
        self._model(NEW), self._model(OLD)
        children = [forked(partial(self.save, each, form, directory)) for each in (OLD, NEW)]
        problems = [worker.raised(partial(ended, each)) for each in children]
        if any(problems):
            raise InterruptedSave("one of two saves failed")

    def meanwhile(self, form: str, directory: Path) -> None:
        """Go on saving the new and the old content in turn, until the next request."""
        self._model(NEW), self._model(OLD)
        parent = os.getpid()

        def go_on() -> None:
            while os.getppid() == parent:  # a player that dies is not survived
                for what in (NEW, OLD):
                    self.save(what, form, directory)

        self._going_on.append(forked(go_on))

    def stop(self) -> None:
        """End what goes on."""
        for each in self._going_on:
            os.kill(each, signal.SIGKILL)
            os.waitpid(each, 0)
        self._going_on.clear()

    def _seconds(self, what: str, form: str) -> float:
        """How long such a save takes in a forked process."""
        if form not in self._times:
            self._model(what)
            with tempfile.TemporaryDirectory(dir=self._directory) as name:
                start = time.perf_counter()
                ended(forked(lambda: self.save(what, form, Path(name))))
                self._times[form] = time.perf_counter() - start
        return self._times[form]

    def _model(self, what: str) -> tuple[Any, ModelFacts]:
        if what not in self._made:
            self._made[what] = made(what, self._directory / what)
        return self._made[what]


def made(what: str, directory: Path) -> tuple[Any, ModelFacts]:
    """Return the model of a content, and the facts by which its shards are as large as they are."""
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.observe import observe
    from conformance.roundtrip.outcome import Reader
    from conformance.roundtrip.workshop import Workshop

    directory.mkdir()
    workshop = Workshop(directory, CONTENTS[what][1])
    ladder = Ladder(Reader.SAME)
    case = case_of(what, "pickle")
    quantized = workshop.product(case, ladder).model
    base: Any = workshop.base(case, ladder)
    return base.model if what == PLAIN else quantized, observe(quantized)


def forked(work: Callable[[], None]) -> int:
    """Do it in a copy of this process, and return its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def ended(child: int) -> None:
    """Wait for a copy of this process.

    Raises:
        InterruptedSave: it was killed, or what it did raised.
    """
    _, status = os.waitpid(child, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        how = signal.Signals(-code).name if code < 0 else "an exception"
        raise InterruptedSave(f"the save ended by {how}")


def reader(connection: Connection, log: str) -> None:
    """Read directories, as `(case id, directory, by default)`, until None comes."""
    with worker.at_work(Path(log)):
        if not worker.libraries_import(connection):
            return
        limited(log)
        while (request := connection.recv()) is not None:
            case_id, directory, default = request
            case = by_default(find(case_id)) if default else find(case_id)
            for message in read(case, Path(directory)):
                connection.send(message)


def by_default(case: Case) -> Case:
    """Return the case with the loader that nobody told which files to take."""
    return replace(case, format=replace(case.format, load=load_by_default))


def load_by_default(model_class: Any, _config: Any, directory: Path, _device: Device) -> Any:
    """Load as the shortest recipe does."""
    import torch

    return model_class.from_pretrained(directory, torch_dtype=torch.bfloat16)
