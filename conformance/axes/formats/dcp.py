"""torch's distributed checkpoint, written and read by one process without a process group.

`dcp.load` fills tensors that are there, in place: those of a model that is quantized already, or
those of a plain one. `HuggingFaceStorageWriter` writes safetensors; `dcp_to_torch_save` turns a
checkpoint into one file of `torch.save`, without a model.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_dcp, read_safetensors, read_torch
from conformance.axes.formats import state_dict
from conformance.axes.pretrained import REPRESENTATIVE, plain_model
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

DCP = frozenset({("torch.distributed", "checkpoint as dcp")})
BARE = partial(
    Format, schemes=REPRESENTATIVE, extra=True, has_config=False, has_requires_grad=False
)


@contextmanager
def failing_plainly() -> Iterator[None]:
    """Raise what went wrong in a rank in place of DCP's own exception.

    That is a `BaseException`, which ends a process past every `except Exception`.
    """
    from torch.distributed.checkpoint import CheckpointException

    try:
        yield
    except CheckpointException as error:
        first, _ = next(iter(error.failures.values()))
        raise first from error


def save(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write the state dict with `dcp.save`."""
    import torch.distributed.checkpoint as dcp

    with failing_plainly():
        dcp.save(model.state_dict(), checkpoint_id=directory)


def load_quantized(model: Any, _config: Mapping[str, Any], directory: Path, _device: Device) -> Any:
    """Fill the tensors of a model that is there, and give them to it once more."""
    import torch.distributed.checkpoint as dcp

    state = model.state_dict()
    with failing_plainly():
        dcp.load(state, checkpoint_id=directory)
    model.load_state_dict(state, assign=True)
    return model


def load_plain(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Fill the tensors of a new bf16 model."""
    return load_quantized(plain_model(model_class, config, device), config, directory, device)


def _storage() -> Any:
    try:
        from torch.distributed.checkpoint import hf_storage
    except ImportError as error:
        raise UnavailableError("this torch has no Hugging Face storage for DCP") from error
    return hf_storage


def save_huggingface(model: Any, directory: Path, _shard_limit: int) -> None:
    """Write safetensors with `HuggingFaceStorageWriter`."""
    import torch.distributed.checkpoint as dcp

    writer = _storage().HuggingFaceStorageWriter(str(directory))
    with failing_plainly():
        dcp.save(model.state_dict(), storage_writer=writer)


def load_huggingface(
    model: Any, _config: Mapping[str, Any], directory: Path, _device: Device
) -> Any:
    """Fill a model that is there with `HuggingFaceStorageReader`."""
    import torch.distributed.checkpoint as dcp

    state = model.state_dict()
    reader = _storage().HuggingFaceStorageReader(str(directory))
    with failing_plainly():
        dcp.load(state, storage_reader=reader)
    model.load_state_dict(state, assign=True)
    return model


def save_converted(model: Any, directory: Path, shard_limit: int) -> None:
    """Write the state dict with `dcp.save`, and turn it into a file of `torch.save`."""
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as name:
        save(model, Path(name), shard_limit)
        with failing_plainly():
            dcp_to_torch_save(name, directory / state_dict.NAME)


FORMATS = (
    BARE(
        name="dcp",
        title="`dcp.save(state_dict)`, `dcp.load` into a quantized model",
        save=save,
        load=load_quantized,
        read=read_dcp,
        refills=True,
    ),
    BARE(
        name="dcp-into-plain",
        title="`dcp.save(state_dict)`, `dcp.load` into a plain model",
        save=save,
        load=load_plain,
        read=read_dcp,
        script=FormatScript(
            save="dcp.save(model.state_dict(), checkpoint_id=directory)",
            load=(
                "loaded = {model}(**CONFIG).to(torch.bfloat16).eval()\n"
                "state = loaded.state_dict()\n"
                "dcp.load(state, checkpoint_id=directory)\n"
                "loaded.load_state_dict(state, assign=True)"
            ),
            imports=DCP,
            load_imports=DCP,
        ),
    ),
    BARE(
        name="dcp-huggingface",
        title="`dcp.save(storage_writer=HuggingFaceStorageWriter)`, and its reader",
        save=save_huggingface,
        load=load_huggingface,
        read=read_safetensors,
        refills=True,
    ),
    BARE(
        name="dcp-to-torch",
        title="`dcp.save(state_dict)`, then `dcp_to_torch_save`",
        save=save_converted,
        load=partial(state_dict.load, mmap=False),
        read=read_torch,
        script=FormatScript(
            save=(
                "with tempfile.TemporaryDirectory() as distributed:\n"
                "    dcp.save(model.state_dict(), checkpoint_id=distributed)\n"
                f'    dcp_to_torch_save(distributed, directory / "{state_dict.NAME}")'
            ),
            load=state_dict.LOAD.format(options=""),
            imports=DCP | {("torch.distributed.checkpoint.format_utils", "dcp_to_torch_save")},
        ),
    ),
)
