"""torch's distributed checkpoint, written and read by one process without a process group.

`dcp.load` fills tensors that are there, in place: those of a model that is quantized already, or
those of a plain one. `HuggingFaceStorageWriter` writes safetensors; `dcp_to_torch_save` turns a
checkpoint into one file of `torch.save`, without a model.

What goes wrong is a `BaseException`. The suite and its repros raise what is behind it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import read_dcp, read_safetensors, read_torch
from conformance.axes.formats import state_dict
from conformance.axes.pretrained import REPRESENTATIVE, plain_model
from conformance.axes.source import FormatScript
from conformance.errors import UnavailableError

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


CHECKPOINT = "torch.distributed.checkpoint"
SAVE = """\
try:
    {how}
except CheckpointException as error:  # it is no Exception: a plain handler does not see it
    raise next(iter(error.failures.values()))[0] from error"""
LOAD = f"""\
state = loaded.state_dict()
{SAVE}
loaded.load_state_dict(state, assign=True)"""
PLAIN = "loaded = {{model}}(**CONFIG).to(torch.bfloat16).eval()\n"
TO_TORCH = f"""\
with tempfile.TemporaryDirectory() as folder:
    save(model.state_dict(), checkpoint_id=folder)
    {indent(SAVE, "    ").strip()}"""


def _script(
    save: str, load: str, *names: str, storage: tuple[str, ...] = (), before: str = ""
) -> FormatScript:
    """Return the lines; `save` and `load` are calls of DCP."""
    needed = frozenset((CHECKPOINT, name) for name in ("CheckpointException", *names))
    stored = frozenset((f"{CHECKPOINT}.hf_storage", name) for name in storage)
    return FormatScript(
        save=SAVE.format(how=save),
        load=before.format() + LOAD.format(how=load),
        imports=needed | stored,
        load_imports=needed | stored,
    )


BY_ID = (
    "save(model.state_dict(), checkpoint_id=directory)",
    "load(state, checkpoint_id=directory)",
)
BY_STORAGE = (
    "save(model.state_dict(), storage_writer=HuggingFaceStorageWriter(str(directory)))",
    "load(state, storage_reader=HuggingFaceStorageReader(str(directory)))",
)
FORMATS = (
    BARE(
        name="dcp",
        title="`dcp.save(state_dict)`, `dcp.load` into a quantized model",
        save=save,
        load=load_quantized,
        read=read_dcp,
        refills=True,
        script=_script(*BY_ID, "save", "load"),
    ),
    BARE(
        name="dcp-into-plain",
        title="`dcp.save(state_dict)`, `dcp.load` into a plain model",
        save=save,
        load=load_plain,
        read=read_dcp,
        script=_script(*BY_ID, "save", "load", before=PLAIN),
    ),
    BARE(
        name="dcp-huggingface",
        title="`dcp.save(storage_writer=HuggingFaceStorageWriter)`, and its reader",
        save=save_huggingface,
        load=load_huggingface,
        read=read_safetensors,
        refills=True,
        script=_script(
            *BY_STORAGE,
            "save",
            "load",
            storage=("HuggingFaceStorageReader", "HuggingFaceStorageWriter"),
        ),
    ),
    BARE(
        name="dcp-to-torch",
        title="`dcp.save(state_dict)`, then `dcp_to_torch_save`",
        save=save_converted,
        load=partial(state_dict.load, mmap=False),
        read=read_torch,
        script=FormatScript(
            save=TO_TORCH.format(how=f'dcp_to_torch_save(folder, directory / "{state_dict.NAME}")'),
            load=state_dict.LOAD.format(options=""),
            imports=frozenset(
                {
                    (CHECKPOINT, "save"),
                    (CHECKPOINT, "CheckpointException"),
                    (f"{CHECKPOINT}.format_utils", "dcp_to_torch_save"),
                }
            ),
        ),
    ),
)
