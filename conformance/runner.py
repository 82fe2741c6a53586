"""Run many cases on several engines at once; the cases of a group stay together."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from conformance.case import Case
from conformance.drained import drained
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.gallery import Gallery
from conformance.roundtrip.kept import Keep
from conformance.roundtrip.outcome import Outcome, Progress


@dataclass
class _Work:
    """What the threads share."""

    groups: "queue.SimpleQueue[list[Case]]" = field(default_factory=queue.SimpleQueue)
    answers: "queue.SimpleQueue[Outcome | BaseException | None]" = field(
        default_factory=queue.SimpleQueue
    )
    """Outcomes, an error of a thread, or None when a thread has nothing left to do."""
    stop: threading.Event = field(default_factory=threading.Event)
    engines: list[Engine] = field(default_factory=list)


def run_cases(
    cases: Iterable[Case],
    workers: int,
    timeout: float,
    told: Callable[[str, Progress], None] = lambda _case, _progress: None,
    keep: Keep | None = None,
    gallery: Gallery | None = None,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of each case as it arrives; with `keep`, checkpoints stay there.

    When nobody wants further outcomes, what is at work is broken off. `told` hears, in a thread
    of its own, how far large cases are.

    Raises:
        UsageError: the libraries under test do not import.
    """
    work = _Work()
    for _, members in groupby(cases, key=lambda case: case.group):
        work.groups.put(list(members))
    start = partial(Engine, timeout, told=told, keep=keep, gallery=gallery)
    threads = [
        threading.Thread(target=_hand, args=(work, partial(start, turn=turn)))
        for turn in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from drained(work.answers, workers)
    finally:
        work.stop.set()
        for engine in list(work.engines):
            engine.break_off()
        for thread in threads:
            thread.join()


def _hand(work: _Work, start: Callable[[], Engine]) -> None:
    """Run group after group until there is none; the end and every error are told."""
    try:
        with start() as engine, suppress(queue.Empty):
            work.engines.append(engine)
            while True:
                for case in work.groups.get_nowait():
                    if work.stop.is_set():
                        return
                    work.answers.put(engine.run(case))
    except BaseException as error:  # noqa: BLE001 - the main thread raises it again
        work.answers.put(error)
    finally:
        work.answers.put(None)
