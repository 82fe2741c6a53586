"""A model that was copied, and a state dict that went to another process, each saved afterwards."""

import copy
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import files
from conformance.axes.base import Format
from conformance.axes.formats import state_dict
from conformance.axes.pretrained import REPRESENTATIVE
from conformance.axes.ranks import in_processes
from conformance.axes.source import FormatScript


def save_copy(model: Any, directory: Path, shard_limit: int) -> None:
    """Write the state dict of `copy.deepcopy(model)`."""
    state_dict.save(copy.deepcopy(model), directory, shard_limit)


def save_elsewhere(model: Any, directory: Path, _shard_limit: int) -> None:
    """Send the state dict from one process to another, which writes it with `torch.save`.

    It goes through a queue of `torch.multiprocessing`: the tensors are in shared memory, and a
    pickle says where.
    """
    import torch

    context = torch.multiprocessing.get_context("fork")
    queue, taken = context.SimpleQueue(), context.SimpleQueue()

    def work(number: int) -> None:
        if number == 0:
            queue.put(model.state_dict())
            taken.get()  # the memory is handed out by the process that it comes from
        else:
            torch.save(queue.get(), directory / state_dict.NAME)
            taken.put(None)

    in_processes(2, work)


NAME = state_dict.NAME
COPY = f'torch.save(copy.deepcopy(model).state_dict(), directory / "{NAME}")'
SEND = f"""\
context = torch.multiprocessing.get_context("fork")
queue = context.SimpleQueue()
child = context.Process(target=lambda: torch.save(queue.get(), directory / "{NAME}"))
child.start()
queue.put(model.state_dict())
child.join()"""

FORMATS = tuple(
    Format(
        name=name,
        title=title,
        save=save,
        load=partial(state_dict.load, mmap=False),
        read=files.read_torch,
        schemes=REPRESENTATIVE,
        extra=True,
        has_config=False,
        has_requires_grad=False,
        script=FormatScript(save=lines, load=state_dict.LOAD.format(options="")),
    )
    for name, title, save, lines in (
        ("deepcopy", "`torch.save` of `copy.deepcopy(model).state_dict()`", save_copy, COPY),
        (
            "multiprocessing",
            "a state dict sent to another process by `torch.multiprocessing`, saved there",
            save_elsewhere,
            SEND,
        ),
    )
)
