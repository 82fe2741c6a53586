"""What a case can be here: the device, the memory and the kernels that this machine has."""

from typing import Any

from conformance.axes.base import Device, Scheme, Subject
from conformance.case import Case
from conformance.errors import UnavailableError

BYTES_PER_PARAMETER = 6
"""Memory for the bf16 model, a bf16 copy that is quantized, and the model that is loaded back."""

LONGEST = 240.0
"""Seconds that quantizing may take, whatever time limit a run was given.

A small case that takes more would run into the usual limit of 300. A large one has more time by its
size, and is held to the same.
"""


def require_device(device: Device) -> None:
    """Raise UnavailableError where there is no such device."""
    import torch

    if device is Device.CUDA and not torch.cuda.is_available():
        raise UnavailableError("no CUDA")


def require_memory(subject: Subject) -> None:
    """Raise UnavailableError where the models of a case would not fit into memory."""
    import psutil

    needed = subject.parameters * BYTES_PER_PARAMETER
    available = psutil.virtual_memory().available
    if needed > available:
        raise UnavailableError(
            f"needs {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are available"
        )


def require_time(case: Case) -> None:
    """Raise UnavailableError where quantizing on the CPU takes longer than a case may."""
    millions = case.subject.parameters / 1e6
    seconds = millions * case.scheme.seconds
    if case.device.writer is Device.CPU and seconds > LONGEST:
        raise UnavailableError(
            f"quantizing {millions:,.0f} M parameters takes {seconds / 60:,.0f} minutes of one core"
        )


def how_far(scheme: Scheme, device: Device) -> tuple[Any, str]:
    """Return the storage builder if one is needed, and why the output cannot be judged.

    Raises:
        UnavailableError: neither quantizing nor building the storage is possible here.
    """
    missing = scheme.quantizing.missing(device)
    if missing is None:
        return None, scheme.kernel.missing(device) or ""
    if scheme.storage is None:
        raise UnavailableError(missing)
    return scheme.storage, missing


def availability(scheme: Scheme, device: Device) -> str:
    """Say what a case of this scheme can give here: `runs`, or why it cannot give everything."""
    try:
        require_device(device.writer)
        require_device(device.reader)
        scheme.resolve()
        _, storage_only = how_far(scheme, device.writer)
        storage_only = storage_only or scheme.kernel.missing(device.reader) or ""
    except UnavailableError as error:
        return f"no result: {error}"
    return f"storage only: {storage_only}" if storage_only else "runs"
