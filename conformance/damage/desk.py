"""One reader process that is asked again and again, and replaced when it dies, hangs or bloats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.damage.fate import Reading
from conformance.damage.reading import LOADED
from conformance.roundtrip.engine import EndedError, Worker
from conformance.roundtrip.outcome import NoResult, NoResultKind


class Desk:
    """Where requests are read. `target` runs in the process, and is given `log`."""

    def __init__(self, target: Callable[..., None], log: Path, timeout: float) -> None:
        self.timeout, self._target, self._log = timeout, target, log
        self._worker: Worker | None = None

    @property
    def new(self) -> bool:
        """Will the next request be the first of its process?"""
        return self._worker is None

    def read(self, request: tuple[Any, ...]) -> Reading:
        """Have it read.

        Raises:
            UsageError: the libraries under test do not import.
        """
        at_work = self._worker = self._worker or Worker(self._target, str(self._log))
        at_work.send(request)
        try:
            loaded = at_work.receive(self.timeout)
        except EndedError as ended:
            self.close()
            return Reading(no_result=ended.no_result)
        if LOADED not in loaded:
            return self._failed(loaded)
        return Reading(
            tensors=loaded[LOADED],
            config=loaded["config"],
            warned=tuple(loaded["warned"]),
            output=self._output(at_work),
        )

    def _failed(self, message: dict[str, Any]) -> Reading:
        kind, text = message["error"]
        if not message["memory"]:
            return Reading(error=(kind, text))
        self.close()  # what it has allocated it keeps
        return Reading(no_result=NoResult(NoResultKind.OUT_OF_MEMORY, f"{kind}: {text}"))

    def _output(self, at_work: Worker) -> str:
        try:
            return str(at_work.receive(self.timeout)["output"])
        except EndedError as ended:
            self.close()
            return f"{ended.no_result.kind}: {ended.no_result.reason}"

    def close(self) -> None:
        """End the reader; the next request gets another."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None
