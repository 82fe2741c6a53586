"""Damage the checkpoints of cases, on several readers at once."""

import queue
import threading
from collections.abc import Collection, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from conformance.case import Case, default_formats, select
from conformance.damage.bench import TIMEOUT, Bench, Target
from conformance.damage.fate import Result
from conformance.damage.mutation import Mutation
from conformance.damage.plan import plan, sample
from conformance.drained import drained

CHUNK = 20
"""Mutations between two readings of the undamaged checkpoint."""


def default_cases() -> list[Case]:
    """Return one case for every format: the recipe that works for all of them."""
    globs = [f"flux-tiny.int8wo.torchao-config.{each}.cpu" for each in default_formats()]
    return select(globs)


@dataclass(frozen=True)
class Job:
    """Mutations of one checkpoint that one reader reads in a row."""

    target: Target
    mutations: tuple[Mutation, ...]


def jobs(target: Target, count: int | None, seed: int, globs: tuple[str, ...] = ()) -> list[Job]:
    """Return what is to be done to a checkpoint, in parts."""
    found = plan(target.files, target.stale, seed)
    if globs:
        found = [each for each in found if any(fnmatchcase(each.id, glob) for glob in globs)]
    if count is not None:
        found = sample(found, count, seed)
    return [Job(target, tuple(found[at : at + CHUNK])) for at in range(0, len(found), CHUNK)]


def remaining(asked: list[Job], done: Collection[str]) -> list[Job]:
    """Return what is left to do when some mutations, by `Result.id`, were read before."""
    left = [
        Job(job.target, tuple(each for each in job.mutations if mutation_id(job, each) not in done))
        for job in asked
    ]
    return [job for job in left if job.mutations]


def mutation_id(job: Job, mutation: Mutation) -> str:
    """Return the `Result.id` that a mutation will have."""
    return f"{job.target.case.id} {mutation.id}"


@dataclass
class _Work:
    """What the threads share."""

    jobs: "queue.SimpleQueue[Job]" = field(default_factory=queue.SimpleQueue)
    answers: "queue.SimpleQueue[Result | BaseException | None]" = field(
        default_factory=queue.SimpleQueue
    )
    stop: threading.Event = field(default_factory=threading.Event)


def run(asked: list[Job], workers: int, timeout: float = TIMEOUT) -> Generator[Result, None, None]:
    """Yield what became of each mutation, as it arrives.

    Raises:
        HarnessError: an undamaged checkpoint is not read twice alike.
        UsageError: the libraries under test do not import.
    """
    work = _Work()
    for each in asked:
        work.jobs.put(each)
    threads = [threading.Thread(target=_hand, args=(work, timeout)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield from _answers(work, workers)
    finally:
        work.stop.set()
        for thread in threads:
            thread.join()


def _answers(work: _Work, workers: int) -> Iterator[Result]:
    return drained(work.answers, workers)


def _hand(work: _Work, timeout: float) -> None:
    """Do one part after the other; the end and every error are told."""
    try:
        with Bench(timeout) as bench, suppress(queue.Empty):
            while not work.stop.is_set():
                job = work.jobs.get_nowait()
                for each in bench.results(job.target, list(job.mutations)):
                    work.answers.put(each)
    except BaseException as error:  # noqa: BLE001 - the main thread raises it again
        work.answers.put(error)
    finally:
        work.answers.put(None)
