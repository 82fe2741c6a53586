"""The caller's quantization config is the same after quantizing as before.

A config object that a library changes while using it quantizes the next model otherwise than the
first.

What to do: hand the library a copy, and report which field it changed.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the config's fields before and after."""
    before, after = evidence.caller
    if before != after:
        yield Difference("quantization config", "caller's config was changed", before, after)


CHECK = Check("caller_config", Stage.STRUCTURE, Side.WRITER, Harm.ALTERED, run)
