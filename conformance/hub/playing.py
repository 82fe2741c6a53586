"""The processes that go to the Hub: one that writes and pushes, fresh ones that read.

Where the Hub is they know by the environment (`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`), which must be
set before the engine's server imports huggingface_hub.
"""

import resource
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.axes.base import Device
from conformance.case import Case, find
from conformance.hub.scenes import RAW, REVISION, Push, Read, Scene, Trouble, Where, scenes
from conformance.roundtrip import worker

FEW_BYTES = 500


def writer(connection: Connection, place: str) -> None:
    """Push scenes, as `(id, repository, directory)`, and troubles alike, until None comes.

    Answers with what was raised, or an empty text.
    """
    directory = Path(place)
    by_id = {each.id: each for each in scenes()}
    with worker.at_work(directory / worker.LOG):
        if not worker.libraries_import(connection):
            return
        pusher = Pusher(directory)
        while (request := connection.recv()) is not None:
            name, repository, target = request
            scene = by_id.get(name)
            if scene is None:
                work = partial(pusher.fail, Trouble(name), repository)
            else:
                work = partial(pusher.push, scene, repository, Path(target))
            connection.send(worker.raised(work))


class Pusher:
    """Quantizes once, writes records, and pushes."""

    def __init__(self, directory: Path) -> None:
        from conformance.roundtrip.workshop import Workshop

        self._workshop = Workshop(directory / "workshop")

    def push(self, scene: Scene, repository: str, directory: Path) -> None:
        """Save and record the case in the directory, and push it."""
        from huggingface_hub import create_branch, create_repo

        model = self._written(find(scene.case), directory)
        if scene.push is Push.PUSH_TO_HUB:
            self._push_to_hub(model, scene.form, repository, scene.subfolder)
            return
        create_repo(repository, private=True)
        if scene.where is Where.REVISION:  # where another revision is taken for it, that shows
            self._upload_another(repository, directory / "another")
            create_branch(repository, branch=REVISION)
        upload(repository, directory / "checkpoint", scene.subfolder, scene.revision)

    def fail(self, trouble: Trouble, repository: str) -> None:
        """Push what cannot be pushed."""
        model = self._model(find(RAW))
        if trouble is Trouble.CANNOT_BE_SAVED:
            model.push_to_hub(repository, private=True)
        elif trouble is Trouble.WRONG_TOKEN:
            model.push_to_hub(repository, private=True, safe_serialization=False, token="hf_nobody")
        else:
            with no_file_over(FEW_BYTES):
                model.push_to_hub(repository, private=True, safe_serialization=False)

    def _push_to_hub(self, model: Any, form: str, repository: str, subfolder: str | None) -> None:
        safe = form.startswith("safetensors")
        where: Mapping[str, str] = {"subfolder": subfolder} if subfolder else {}
        model.push_to_hub(repository, private=True, safe_serialization=safe, **where)

    def _written(self, case: Case, directory: Path) -> Any:
        from conformance.roundtrip.ladder import Ladder
        from conformance.roundtrip.outcome import Reader
        from conformance.roundtrip.write import write

        return write(case, self._workshop, directory, Ladder(Reader.SAME)).product.model

    def _model(self, case: Case) -> Any:
        from conformance.roundtrip.ladder import Ladder
        from conformance.roundtrip.outcome import Reader

        return self._workshop.product(case, Ladder(Reader.SAME)).model

    def _upload_another(self, repository: str, directory: Path) -> None:
        from conformance.roundtrip.ladder import Ladder
        from conformance.roundtrip.outcome import Reader

        base: Any = self._workshop.base(find(RAW), Ladder(Reader.SAME))
        base.model.save_pretrained(directory)
        upload(repository, directory, None, None)


def upload(repository: str, folder: Path, subfolder: str | None, revision: str | None) -> None:
    """Upload a folder."""
    from huggingface_hub import upload_folder

    upload_folder(repo_id=repository, folder_path=folder, path_in_repo=subfolder, revision=revision)


@contextmanager
def no_file_over(size: int) -> Any:
    """Let no file take more bytes than that, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def reader(connection: Connection, log: str) -> None:
    """Read one scene, as `(id, how, repository, directory, cache)`, and answer an outcome."""
    with worker.at_work(Path(log)):
        if not worker.libraries_import(connection):
            return
        while (request := connection.recv()) is not None:
            name, how, repository, directory, cache = request
            scene = next(each for each in scenes() if each.id == name)
            case = by(scene, Read(how), repository, Path(cache))
            worker.answer(connection, case.id, partial(verified, case, Path(directory)))


def by(scene: Scene, how: Read, repository: str, cache: Path) -> Case:
    """Return the case of a scene, loaded from the Hub."""
    case = find(scene.case)
    load = partial(_load, scene=scene, how=how, repository=repository, cache=cache)
    return replace(case, format=replace(case.format, load=load))


def _load(
    model_class: Any,
    _config: Mapping[str, Any],
    _directory: Path,
    _device: Device,
    *,
    scene: Scene,
    how: Read,
    repository: str,
    cache: Path,
) -> Any:
    import torch
    from huggingface_hub import constants, snapshot_download

    options: dict[str, Any] = {
        "torch_dtype": torch.bfloat16,
        "use_safetensors": scene.form.startswith("safetensors"),
    }
    if scene.subfolder:
        options["subfolder"] = scene.subfolder
    at = {"revision": scene.revision} if scene.revision else {}
    if how is Read.SNAPSHOT:
        place = snapshot_download(repository, cache_dir=cache, **at)
        return model_class.from_pretrained(place, **options)
    if how is Read.OFFLINE:  # as HF_HUB_OFFLINE does where it is set before the import
        constants.HF_HUB_OFFLINE = True
    return model_class.from_pretrained(repository, cache_dir=cache, **options, **at)


def verified(case: Case, directory: Path, announce: Callable[..., None]) -> Any:
    """Read the case and compare it with the record in the directory."""
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.outcome import Reader
    from conformance.roundtrip.record import Record
    from conformance.roundtrip.run import Log, kept_in
    from conformance.roundtrip.verify import read, verify

    log = Log(case, Ladder(Reader.FRESH, announce))
    with kept_in(log):
        record = Record.load(directory)
        model = read(case, directory, log.ladder)
        reading = verify(case, directory, log.ladder, model, record)
        log.findings += reading.findings
        if reading.broken is not None:
            raise reading.broken
    return log.outcome()
