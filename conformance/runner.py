"""Run many cases on several engines at once; the cases of a group stay together."""

import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from conformance.case import Case
from conformance.drained import drained
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.gallery import Gallery
from conformance.roundtrip.outcome import Outcome


@dataclass
class _Work:
    """What the threads share."""

    groups: "queue.SimpleQueue[list[Case]]" = field(default_factory=queue.SimpleQueue)
    answers: "queue.SimpleQueue[Outcome | BaseException | None]" = field(
        default_factory=queue.SimpleQueue
    )
    """Outcomes, an error of a thread, or None when a thread has nothing left to do."""
    stop: threading.Event = field(default_factory=threading.Event)


def run_cases(
    cases: Iterable[Case], workers: int, timeout: float, gallery: Gallery | None = None
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each case as it arrives.

    Raises:
        UsageError: the libraries under test do not import.
    """
    work = _Work()
    for _, members in groupby(cases, key=lambda case: case.group):
        work.groups.put(list(members))
    hand = (work, timeout, gallery)
    threads = [threading.Thread(target=_hand, args=hand) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield from drained(work.answers, workers)
    finally:
        work.stop.set()
        for thread in threads:
            thread.join()


def _hand(work: _Work, timeout: float, gallery: Gallery | None) -> None:
    """Run group after group until there is none; the end and every error are told."""
    try:
        with Engine(timeout, gallery=gallery) as engine, suppress(queue.Empty):
            while True:
                for case in work.groups.get_nowait():
                    if work.stop.is_set():
                        return
                    work.answers.put(engine.run(case))
    except BaseException as error:  # noqa: BLE001 - the main thread raises it again
        work.answers.put(error)
    finally:
        work.answers.put(None)
