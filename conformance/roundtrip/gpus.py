"""Which GPU a worker process sees: the engines of a run take turns, so that they spread over all.

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
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
