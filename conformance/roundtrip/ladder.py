"""Climb the stages: time each one, and turn what goes wrong into a failure at that stage."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from conformance.errors import UnavailableError
from conformance.roundtrip.disk import is_full, no_space
from conformance.roundtrip.footprint import Footprint
from conformance.roundtrip.outcome import Failure, NoResult, NoResultKind, Reader, Stage, Step


class HarnessError(Exception):
    """The suite cannot vouch for its own measurement; the message says why."""


class BrokenError(Exception):
    """A library under test failed at a stage."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class NoResultError(Exception):
    """The case ends without a verdict."""

    def __init__(self, no_result: NoResult) -> None:
        super().__init__(no_result.reason)
        self.no_result = no_result


# Before the libraries under test are asked to quantize, what breaks is ours or the environment's.
OURS = frozenset({Stage.RESOLVE, Stage.BUILD})
NO_MEMORY = (
    "DefaultCPUAllocator: ",
    "Cannot allocate memory",
    "CUDA error: out of memory",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What torch's CPU allocator, the C library, CUDA and cuBLAS say; their errors have no type of
their own, or one that other errors have, too."""


@dataclass
class Ladder:
    """The stages that one reader or writer has gone through."""

    reader: Reader
    announce: Callable[[Stage], None] = lambda _: None
    """Told of each stage as it begins, so that somebody knows where a process died."""
    steps: list[Step] = field(default_factory=list)
    footprint: Footprint | None = None
    """Measures time and memory of the parts of a large case."""

    def part(
        self, name: str, total: int = 0, done: Callable[[], int] = lambda: 0
    ) -> AbstractContextManager[None]:
        """Measure a part of a stage, where the case is large; see `Footprint.part`."""
        return self.footprint.part(name, total, done) if self.footprint else nullcontext()

    @contextmanager
    def stage(
        self, stage: Stage, directory: Path | None = None, disk: Path | None = None
    ) -> Iterator[None]:
        """Run the block as a stage.

        Args:
            stage: which.
            directory: after a failure the files in it are its leftovers.
            disk: where the block writes, if not there: a full disk is nobody's failure.

        Raises:
            BrokenError: the libraries under test raised.
            NoResultError: the case cannot be measured.
        """
        self.announce(stage)
        start = time.perf_counter()
        try:
            yield
        except (BrokenError, NoResultError):
            raise
        except UnavailableError as error:
            raise NoResultError(NoResult(NoResultKind.SKIPPED, str(error), stage)) from error
        except HarnessError as error:
            raise NoResultError(NoResult(NoResultKind.HARNESS_ERROR, str(error), stage)) from error
        except Exception as error:
            raise self._ended(error, stage, directory, disk or directory) from error
        finally:
            self.steps.append(Step(stage, time.perf_counter() - start, self.reader))

    def _ended(
        self, error: Exception, stage: Stage, directory: Path | None, disk: Path | None
    ) -> Exception:
        text = f"{type(error).__name__}: {error}"
        if out_of_memory(error):
            reason = text.splitlines()[0]
            return NoResultError(NoResult(NoResultKind.OUT_OF_MEMORY, reason, stage))
        if no_space(text) or (disk and is_full(disk)):
            reason = f"No space left on device: {text}"
            return NoResultError(NoResult(NoResultKind.HARNESS_ERROR, reason, stage))
        if stage in OURS:
            return NoResultError(NoResult(NoResultKind.HARNESS_ERROR, text, stage))
        return BrokenError(
            Failure(
                stage=stage,
                type=type(error).__name__,
                message=str(error),
                traceback="".join(traceback.format_exception(error)),
                reader=self.reader,
                leftovers=tuple(file_sizes(directory)) if directory else (),
            )
        )


@contextmanager
def ours() -> Iterator[None]:
    """What breaks in the block is the suite's own, whatever the stage.

    Raises:
        HarnessError: something broke.
    """
    try:
        yield
    except (HarnessError, UnavailableError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise HarnessError(f"{type(error).__name__}: {error}") from error


def out_of_memory(error: Exception) -> bool:
    """Is it Python's, torch's or the system's way to say that there is no memory?"""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(words in str(error) for words in NO_MEMORY)
    )


def file_sizes(directory: Path) -> dict[str, int]:
    """Return the size of every file below a directory, by relative name."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
