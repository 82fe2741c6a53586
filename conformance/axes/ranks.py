"""Several real processes with a gloo process group, for what only exists between ranks.

They are forked from the process that asks, so every rank has its models in memory already. A worker
of the suite is a daemon, which `multiprocessing` does not let have children.
"""

import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

TIMEOUT = 60.0
"""Seconds after which processes that wait for each other are given up."""


class RankError(Exception):
    """A rank died, or took too long; or the base of what a rank raised."""


def on_ranks(count: int, work: Callable[[int], object], timeout: float = TIMEOUT) -> None:
    """Fork `count` processes, join them by gloo, and call `work(rank)` in each.

    Raises:
        RankError: see `in_processes`.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as place:
        in_processes(count, lambda rank: _joined(rank, count, work, place, timeout), timeout)


def _joined(
    rank: int, count: int, work: Callable[[int], object], place: str, timeout: float
) -> None:
    import torch.distributed as dist

    dist.init_process_group(
        "gloo",
        init_method=f"file://{place}/rendezvous",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=timeout),
    )
    work(rank)
    dist.barrier()
    dist.destroy_process_group()


def in_processes(count: int, work: Callable[[int], object], timeout: float = TIMEOUT) -> None:
    """Call `work(number)` in as many forked processes, and wait for all.

    Raises:
        RankError: what a process raised, under the name of its type and with its message; or it
            died, or the time was over.
    """
    with tempfile.TemporaryDirectory(prefix="ranks-") as name:
        said = [Path(name) / str(number) for number in range(count)]
        pids = [_fork(number, work, said[number]) for number in range(count)]
        try:
            _wait(pids, said, time.monotonic() + timeout)
        finally:
            _end(pids)


def _fork(number: int, work: Callable[[int], object], said: Path) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work(number)
        code = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent tells it
        told = {"type": type(error).__name__, "message": str(error)}
        said.write_text(json.dumps({**told, "traceback": traceback.format_exc()}))
    finally:
        os._exit(code)


def _wait(pids: list[int], said: list[Path], deadline: float) -> None:
    """Wait for each process; the first that fails is told, since others then wait for it."""
    waiting = dict(zip(pids, said, strict=True))
    while waiting:
        if time.monotonic() > deadline:
            raise RankError(f"{len(waiting)} processes were still at work when the time was over")
        for pid in list(waiting):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                place = waiting.pop(pid)
                pids.remove(pid)
                _require_success(os.waitstatus_to_exitcode(status), place)
        time.sleep(0.005)


def _require_success(code: int, said: Path) -> None:
    if code == 0:
        return
    if not said.exists():
        raise RankError(f"a process ended with {code}")
    told = json.loads(said.read_text())
    error = type(told["type"], (RankError,), {})(told["message"])
    raise error from RankError(told["traceback"])


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
