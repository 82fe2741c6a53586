"""The first bad of an ordered list, with as few probes as can be. Pure: the probe is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from conformance._compat import StrEnum

Item = TypeVar("Item")


class Answer(StrEnum):
    """What a probe says of one item."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"
    """Nothing can be said of it."""


class EndError(Exception):
    """The ends of the list are not what they were said to be; the search cannot begin."""

    def __init__(self, first: Answer, last: Answer) -> None:
        super().__init__(f"the first is {first}, the last is {last}")
        self.first, self.last = first, last


@dataclass(frozen=True)
class Found(Generic[Item]):
    """Where it turned bad."""

    last_good: Item
    first_bad: Item
    """The first that is known to be bad."""
    between: tuple[Item, ...] = ()
    """Those before it that were skipped: each of them may be the first bad one too."""


def bisect(items: Sequence[Item], probe: Callable[[Item], Answer]) -> Found[Item]:
    """Find the first bad item. Each is probed at most once, both ends first.

    Without skipped ones that takes at most ceil(log2(n)) + 2 probes. One that is skipped is left
    out, and the nearest to the middle that is left is tried.

    Args:
        items: at least two, in order; the first should be good and the last bad.
        probe: says what an item is.

    Raises:
        EndError: the first is not good, or the last is not bad.
    """
    ends = probe(items[0]), probe(items[-1])
    if ends != (Answer.GOOD, Answer.BAD):
        raise EndError(*ends)
    good, bad = 0, len(items) - 1
    left = set(range(1, bad))
    while left:
        place = min(left, key=lambda each: (abs(2 * each - good - bad), each))
        left.remove(place)
        answer = probe(items[place])
        if answer is Answer.GOOD:
            good = place
        elif answer is Answer.BAD:
            bad = place
        left = {each for each in left if good < each < bad}
    return Found(items[good], items[bad], tuple(items[good + 1 : bad]))
