"""Time and peak memory of one process, on the CPU and on CUDA."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from conformance.axes.base import Device

Made = TypeVar("Made")

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What Linux takes for "forget the peak" (proc(5))."""


class Stopwatch(Protocol):
    """Times calls, and tells the most memory that was in use since `reset`."""

    def time(self, call: Callable[[], Made]) -> tuple[float, Made]:
        """Return the seconds that a call took until its work was done, and what it gave."""

    def reset(self) -> None:
        """Begin anew with the peak."""

    def peak(self) -> int:
        """Return the peak in bytes."""


class CpuWatch:
    """The wall clock, and the resident memory of the process."""

    def time(self, call: Callable[[], Made]) -> tuple[float, Made]:
        """See `Stopwatch`."""
        start = time.perf_counter()
        made = call()
        return time.perf_counter() - start, made

    def reset(self) -> None:
        """See `Stopwatch`; where the kernel cannot forget, the peak is the process's."""
        if CLEAR.exists():
            CLEAR.write_text(RESET_PEAK, encoding="ascii")

    def peak(self) -> int:
        """See `Stopwatch`."""
        if not STATUS.exists():
            return _peak_of_process()
        lines = STATUS.read_text(encoding="ascii").splitlines()
        (line,) = (each for each in lines if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


def _peak_of_process() -> int:
    import resource
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class CudaWatch:
    """CUDA events, and what torch's allocator handed out."""

    def __init__(self, cuda: Any) -> None:
        """Take `torch.cuda`."""
        self.cuda = cuda

    def time(self, call: Callable[[], Made]) -> tuple[float, Made]:
        """See `Stopwatch`: the time between two events on the stream, in seconds."""
        start, end = (self.cuda.Event(enable_timing=True) for _ in range(2))
        self.cuda.synchronize()
        start.record()
        made = call()
        end.record()
        self.cuda.synchronize()
        return start.elapsed_time(end) / 1000, made

    def reset(self) -> None:
        """See `Stopwatch`."""
        self.cuda.empty_cache()
        self.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """See `Stopwatch`."""
        return int(self.cuda.max_memory_allocated())


def stopwatch(device: Device) -> Stopwatch:
    """Return the stopwatch of a device."""
    if device is Device.CPU:
        return CpuWatch()
    import torch

    return CudaWatch(torch.cuda)
