"""Tensors that lay in separate memory come back in separate memory, and shared ones shared.

Two weights in the same memory are equal today and change together tomorrow. The check looks at
memory ranges, so it also sees overlaps between views.

What to do: find the line where the loader assigns one tensor to two names.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the groups of overlapping tensors."""
    wanted, got = set(evidence.record.facts.aliases), set(evidence.came_back.aliases)
    for group in sorted(got - wanted):
        yield Difference(group[0], "shares memory", "alone", " ".join(group))
    for group in sorted(wanted - got):
        yield Difference(group[0], "no longer shares memory", " ".join(group), "alone")


CHECK = Check("aliasing", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
