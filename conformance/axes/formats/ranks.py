"""Distributed checkpoints between one process and two, joined by gloo.

`dcp-2-to-1` and `dcp-1-to-2` have the whole model on each rank. `fsdp-2-to-1` and `fsdp-1-to-2`
have half of every weight on each: the model is sharded by FSDP2's `fully_shard`, where its tensor
subclass can be sharded, and the checkpoint is put together for another number of ranks.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_dcp
from conformance.axes.formats import dcp, state_dict
from conformance.axes.ranks import on_ranks

RANKS = 2
SCHEMES = ("float8wo", "int8wo", "intx4", "nf4")
"""Fewer than elsewhere: each case starts a dozen processes."""


def save_on_ranks(model: Any, directory: Path, _shard_limit: int, *, sharded: bool) -> None:
    """Write the model with `dcp.save` from two ranks."""

    def work(_rank: int) -> None:
        _save(_sharded(model) if sharded else model, directory)

    on_ranks(RANKS, work)


def _save(model: Any, directory: Path) -> None:
    import torch.distributed.checkpoint as checkpoint
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    with dcp.failing_plainly():
        checkpoint.save(get_model_state_dict(model), checkpoint_id=directory)


def _sharded(model: Any) -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))


def load_on_ranks(
    model: Any, _config: Mapping[str, Any], directory: Path, device: Device, *, sharded: bool
) -> Any:
    """Fill the model on two ranks with `dcp.load`; the first hands over the whole state dict."""
    import torch

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / state_dict.NAME

        def work(rank: int) -> None:
            whole = _filled(_sharded(model) if sharded else model, directory)
            if rank == 0:
                torch.save(whole, path)

        on_ranks(RANKS, work)
        state = torch.load(path, weights_only=True, map_location=str(device))
    model.load_state_dict(state, assign=True)
    return model


def _filled(model: Any, directory: Path) -> dict[str, Any]:
    import torch.distributed.checkpoint as checkpoint
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_model_state_dict,
        set_model_state_dict,
    )

    state = get_model_state_dict(model)
    with dcp.failing_plainly():
        checkpoint.load(state, checkpoint_id=directory)
    set_model_state_dict(model, state)
    return dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))


FORMATS = tuple(
    Format(
        name=f"{word}-{writers}-to-{readers}",
        title=f"`dcp.save` on {writers} {'ranks' if writers > 1 else 'rank'}, `dcp.load` on "
        f"{readers}, {what}",
        save=partial(save_on_ranks, sharded=sharded) if writers > 1 else dcp.save,
        load=partial(load_on_ranks, sharded=sharded) if readers > 1 else dcp.load_quantized,
        read=read_dcp,
        schemes=SCHEMES,
        extra=True,
        refills=True,
        has_config=False,
        has_requires_grad=False,
    )
    for word, sharded, what in (
        ("dcp", False, "each with the whole model"),
        ("fsdp", True, "sharded by FSDP2"),
    )
    for writers, readers in ((RANKS, 1), (1, RANKS))
)
