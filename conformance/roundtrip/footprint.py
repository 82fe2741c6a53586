"""What each part of a large case costs: seconds, and the most memory at once.

Memory is told apart: anonymous (what the process allocated) and mapped (pages of files, which the
system may take back). The peak of both together is the kernel's own high-water mark where it lets
us reset that, so that no sample can miss it; the two parts are sampled. Of a GPU that is in use the
peak is that of torch's allocator, and a part ends when the GPU has done its work.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from conformance.roundtrip import gpus

INTERVAL = 0.02
"""Seconds between two samples."""
TELL_EVERY = 25
"""Samples between two tellings."""
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
ENDED = 75

Tell = Callable[[str, int, int], None]
"""Is told which part is at work, and of how many bytes so many are done."""


@dataclass
class Footprint:
    """Measures the parts of one case in this process; `measures` is for the results."""

    tell: Tell = lambda _part, _done, _total: None
    measures: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(
        self, name: str, total: int = 0, done: Callable[[], int] = lambda: 0
    ) -> Iterator[None]:
        """Measure the block: `<name>.seconds`, and `peak`, `anonymous`, `mapped` and `gpu` bytes.

        Args:
            name: of the part.
            total: bytes that it will go through, for whoever looks on.
            done: how many of them it has gone through.
        """
        sampler = _Sampler(lambda: self.tell(name, min(done(), total), total))
        gpus.wait()
        gpus.forget_peak()
        start = time.perf_counter()
        with sampler:
            yield
            gpus.wait()
        seconds = time.perf_counter() - start
        for kind, value in (("seconds", seconds), *sampler.peaks(), *gpus.peak().items()):
            key = f"{name}.{kind}"
            self.measures[key] = self._joined(kind, self.measures.get(key, 0.0), value)

    @staticmethod
    def _joined(kind: str, before: float, now: float) -> float:
        """A part may be gone through more than once."""
        return before + now if kind == "seconds" else max(before, now)


class _Sampler:
    """Looks at this process from a thread of its own, while it is entered."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._process = psutil.Process()
        self._parent = os.getppid()
        self._over = threading.Event()
        self._anonymous = self._mapped = self._together = 0
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> "_Sampler":
        with suppress(OSError):  # another system: the samples alone must do
            CLEAR_REFS.write_text(RESET_PEAK, encoding="ascii")
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._sample()
        self._together = max(self._together, high_water())

    def peaks(self) -> tuple[tuple[str, float], ...]:
        """Return what was seen, in bytes."""
        return (
            ("peak_bytes", self._together),
            ("anonymous_bytes", self._anonymous),
            ("mapped_bytes", self._mapped),
        )

    def _look_on(self) -> None:
        samples = 0
        while not self._over.wait(INTERVAL):
            self._sample()
            samples += 1
            if samples % TELL_EVERY == 0:
                self._tell()

    def _tell(self) -> None:
        # Whoever asked for this work may be gone: nobody will want gigabytes of it then.
        if os.getppid() != self._parent:
            os._exit(ENDED)
        with suppress(OSError):
            self._told()

    def _sample(self) -> None:
        seen = self._process.memory_info()
        mapped = getattr(seen, "shared", 0)
        self._anonymous = max(self._anonymous, seen.rss - mapped)
        self._mapped = max(self._mapped, mapped)
        self._together = max(self._together, seen.rss)


def high_water() -> int:
    """Return the most resident bytes of this process since the last reset; 0 if unknown."""
    with suppress(OSError):
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def mapped_since() -> Callable[[], int]:
    """Return what tells how many more bytes of files this process has in its memory since."""
    process = psutil.Process()

    def mapped() -> int:
        return int(getattr(process.memory_info(), "shared", 0))

    before = mapped()
    return lambda: max(0, mapped() - before)


def size_of(directory: Path) -> int:
    """Return the bytes of all files below a directory that is being written to."""
    total = 0
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def read_since() -> Callable[[], int]:
    """Return what tells how many bytes this process has read by system calls since."""
    process = psutil.Process()

    def read() -> int:
        with suppress(AttributeError, psutil.Error):  # not every system counts them
            return int(process.io_counters().read_chars)
        return 0

    before = read()
    return lambda: read() - before
