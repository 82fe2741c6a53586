"""What threads have found, in the thread that asked for it."""

from collections.abc import Iterator
from queue import SimpleQueue
from typing import TypeVar

Found = TypeVar("Found")


def drained(found: "SimpleQueue[Found | BaseException | None]", at_work: int) -> Iterator[Found]:
    """Yield what threads put into a queue, until each of them has put None.

    An exception that one of them put there is raised here.
    """
    while at_work:
        answer = found.get()
        if isinstance(answer, BaseException):
            raise answer
        if answer is None:
            at_work -= 1
        else:
            yield answer
