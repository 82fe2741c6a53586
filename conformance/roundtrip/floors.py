"""How fast this machine is without the libraries under test: what a stage can cost at best."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from conformance.roundtrip import gpus

SAMPLE = 2**30
"""Bytes written and read, unless the checkpoint has fewer."""
PIECE = 2**24
COPIED = 2**27
SIDE = 3072
"""Of the square weight that `quantize_` is timed with."""


def measure(directory: Path, size: int, config: Any, device: str) -> dict[str, float]:
    """Return rates a second by name: bytes written, read and copied, and weights quantized.

    What `quantize_` raises is for the case to meet; here it means that there is no such floor.

    Args:
        directory: where the checkpoint will lie.
        size: bytes that it will have; no more are written here, and at most `SAMPLE`.
        config: for `quantize_`; None where the scheme's weights cannot be quantized one by one.
        device: where the case quantizes.
    """
    written, read = disk(directory, size)
    rates = {"floor.write": written, "floor.read": read, "floor.copy": copying()}
    if config is not None:
        with suppress(Exception):
            rates["floor.quantize"] = quantizing(config, device)
    return rates


def disk(directory: Path, size: int) -> tuple[float, float]:
    """Write a file in the plainest way, read it back and remove it; return bytes a second.

    Until the disk has it: what a page cache takes at once is no speed that a checkpoint as large as
    the memory is written with. Read from the disk, as whoever reads such a checkpoint.
    """
    path = directory / "floor"
    piece = os.urandom(min(size, PIECE))
    count = max(1, min(size, SAMPLE) // len(piece))
    try:
        writing = seconds(lambda: _write(path, piece, count))
        _forget(path)
        reading = seconds(lambda: read_through(path))
    finally:
        path.unlink(missing_ok=True)
    return count * len(piece) / writing, count * len(piece) / reading


def reading(checkpoint: Path) -> float:
    """Return the bytes a second of reading files that were just gone through, up to `SAMPLE`."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    start, done = time.perf_counter(), 0
    for path in paths:
        done += read_through(path, SAMPLE - done)
    return done / (time.perf_counter() - start)


def _write(path: Path, piece: bytes, count: int) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(piece)
        os.fsync(file.fileno())


def _forget(path: Path) -> None:
    """Ask the system to keep no page of a file in memory, where it can be asked."""
    with path.open("rb+") as file, suppress(AttributeError):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path: Path, limit: int = SAMPLE) -> int:
    """Read a file into one buffer, up to a limit; return how many bytes that were."""
    buffer, done = bytearray(PIECE), 0
    with path.open("rb", buffering=0) as file:
        while done < limit and (count := file.readinto(buffer)):
            done += count
    return done


def copying() -> float:
    """Return the bytes a second of a copy in memory."""
    source = torch.ones(COPIED, dtype=torch.uint8)
    target = torch.empty_like(source)
    target.copy_(source)
    return COPIED / seconds(lambda: target.copy_(source))


def quantizing(config: Any, device: str) -> float:
    """Return the weights a second of one pass of `quantize_` over a Linear, the better of two."""
    from torchao.quantization import quantize_

    linear = partial(torch.nn.Linear, bias=False, dtype=torch.bfloat16, device=device)
    linears = [linear(SIDE, SIDE).eval().requires_grad_(False) for _ in range(2)]
    return SIDE * SIDE / min(seconds(partial(quantize_, each, config)) for each in linears)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes until it is done, on a GPU too."""
    gpus.wait()
    start = time.perf_counter()
    work()
    gpus.wait()
    return time.perf_counter() - start
