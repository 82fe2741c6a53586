"""Tensors that lay in separate memory come back in separate memory, and shared ones shared.

Two weights in the same memory are equal today and change together tomorrow: that is `corrupt`.
Tensors that no longer share are equal and stay so: that is `altered`, and costs memory. The check
looks at memory ranges, so it also sees overlaps between views.

What to do: find the line where the loader assigns one tensor to two names.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the groups of overlapping tensors."""
    wanted, got = evidence.record.facts.aliases, evidence.came_back.aliases
    for group in got:
        if not _within(group, wanted):
            yield Difference(group[0], "shares memory", "alone", " ".join(group))
    for group in wanted:
        if not _within(group, got):
            together, what = " ".join(group), "no longer shares memory"
            yield Difference(group[0], what, together, "alone", Harm.ALTERED)


def _within(group: tuple[str, ...], others: tuple[tuple[str, ...], ...]) -> bool:
    return any(set(group) <= set(other) for other in others)


CHECK = Check("aliasing", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
