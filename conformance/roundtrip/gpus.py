"""Which GPU a worker process sees: the engines of a run take turns, so that they spread over all.
What it holds there, too, once CUDA has been started.

A process is told before it starts CUDA, which reads the variable then and never again. In it the
one GPU is `cuda`, and `cuda:0`, whatever its place in the machine.
"""

import gc
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible() -> list[str]:
    """Return the GPUs that this process may use, as the variable names them."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name for each in given.split(",") if (name := each.strip())]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def of_turn(names: Sequence[str], turn: int) -> str | None:
    """Return whose turn it is; None where there is no choice."""
    return names[turn % len(names)] if len(names) > 1 else None


def at_turn(turn: int, work: Callable[..., None], *arguments: Any) -> None:
    """Work with the one GPU whose turn it is."""
    with suppress(Exception):  # torch does not import: the work itself says why
        chosen = of_turn(visible(), turn)
        if chosen is not None:
            os.environ[VISIBLE] = chosen
    work(*arguments)


def give_back() -> None:
    """Let other processes have the memory of tensors that are gone: torch keeps that of a GPU."""
    gc.collect()
    if in_use():
        _cuda().empty_cache()


def in_use() -> bool:
    """Has this process started CUDA?"""
    return bool(_cuda().is_initialized())


def wait() -> None:
    """Wait until a GPU that is in use has done all that it was asked: calls return before that."""
    if in_use():
        _cuda().synchronize()


def forget_peak() -> None:
    """Begin anew with `peak`."""
    if in_use():
        _cuda().reset_peak_memory_stats()


def peak() -> dict[str, float]:
    """Return `gpu_bytes`, the most that torch's allocator handed out; nothing without a GPU."""
    return {"gpu_bytes": float(_cuda().max_memory_allocated())} if in_use() else {}


def _cuda() -> Any:
    import torch

    return torch.cuda
