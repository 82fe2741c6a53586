"""Push to a Hub, read back in fresh processes, and judge with the expectations of the suite."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from conformance.errors import UsageError
from conformance.hub.playing import reader, writer
from conformance.hub.result import Back, Failed, Result, back, left
from conformance.hub.scenes import Read, Scene, Trouble
from conformance.judging.judge import judge
from conformance.roundtrip import worker
from conformance.roundtrip.engine import EndedError, Worker
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.outcome import Outcome
from conformance.session import current_expectations

TIMEOUT = 120.0
"""Seconds for a push, and for a reading."""


def environment(endpoint: str, home: Path, token: str) -> dict[str, str]:
    """Return the variables by which huggingface_hub goes to an endpoint; empty for the real Hub."""
    variables = {"HF_HOME": str(home), "HF_TOKEN": token, "HF_HUB_DISABLE_TELEMETRY": "1"}
    if endpoint:  # a server that speaks the documented endpoints, and not the storage of the Hub
        variables |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    return variables


def run(
    asked: Iterable[Scene | Trouble], namespace: str, variables: Mapping[str, str]
) -> Generator[Result, None, None]:
    """Yield what came back by each way, and what failed pushes left; repositories are deleted.

    Raises:
        HarnessError: a push that must not fail failed.
        UsageError: huggingface_hub was imported before it was told where to go.
    """
    os.environ.update(variables)
    with closing(Courier(namespace)) as courier:
        for each in asked:
            if isinstance(each, Scene):
                yield from courier.carry(each)
            else:
                yield courier.fail(each)


class Courier:
    """A writer, fresh readers, and what is on the Hub meanwhile."""

    def __init__(self, namespace: str) -> None:
        from huggingface_hub import HfApi, constants

        wanted = os.environ.get("HF_ENDPOINT")
        if wanted and wanted.rstrip("/") != constants.ENDPOINT:
            raise UsageError("huggingface_hub was imported for another endpoint; start anew")
        self._hub = HfApi(token=os.environ["HF_TOKEN"])
        self._namespace = namespace
        self._place = Path(tempfile.mkdtemp(prefix="conformance-"))
        (self._place / "writer").mkdir()
        self._writer = Worker(writer, str(self._place / "writer"))
        self._expectations = current_expectations()

    def close(self) -> None:
        """End the writer and remove every file."""
        self._writer.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def carry(self, scene: Scene) -> list[Back]:
        """Push a scene and read it back in every way."""
        directory = self._empty("scene")
        repository = self._repository(scene.id)
        try:
            if said := self._told(scene.id, repository, directory):
                raise HarnessError(f"{scene.id} could not be pushed: {said}")
            return [self._back(scene, each, repository, directory) for each in Read]
        finally:
            self._hub.delete_repo(repository, missing_ok=True)

    def fail(self, trouble: Trouble) -> Failed:
        """Push what cannot be pushed, and see what is left."""
        repository = self._repository(trouble)
        try:
            said = self._told(trouble, repository, self._empty("trouble"))
            there = self._hub.repo_exists(repository)
            files = self._hub.list_repo_files(repository) if there else None
            return Failed(trouble, said, left(files))
        finally:
            self._hub.delete_repo(repository, missing_ok=True)

    def _back(self, scene: Scene, how: Read, repository: str, directory: Path) -> Back:
        # The cache that reading by id has filled is what is read offline.
        cache = directory / ("whole" if how is Read.SNAPSHOT else "cache")
        fresh = Worker(reader, str(self._place / worker.LOG))
        try:
            fresh.send((scene.id, str(how), repository, str(directory), str(cache)))
            outcome = fresh.outcome(TIMEOUT)
        except EndedError as ended:
            outcome = Outcome(scene.case, no_result=ended.no_result)
        finally:
            fresh.close()
        return back(scene.id, how, judge(outcome, self._expectations))

    def _told(self, name: str, repository: str, directory: Path) -> str:
        self._writer.send((str(name), repository, str(directory)))
        try:
            return str(self._writer.receive(TIMEOUT))
        except EndedError as ended:
            raise HarnessError(f"{name} could not be pushed: {ended}") from None

    def _repository(self, name: str) -> str:
        words = name.replace(".", "-").replace("_", "-")
        return f"{self._namespace}/conformance-{words}-{secrets.token_hex(3)}"

    def _empty(self, name: str) -> Path:
        directory = self._place / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return directory
