"""The reloaded model's output is close to the unquantized model's, and not equal to it.

Closeness is the signal to quantization noise ratio in dB; each scheme has a floor, measured on the
tiny and small models; that of a model of published dimensions is lower, by what was measured of
it, because noise adds up over hundreds of layers. A zeroed model has 0 dB, an unquantized one
infinitely many, one whose output is not finite none at all: all three are findings, also where a
scheme has no floor.

What to do: if `output` is silent, the model was already far off when it was saved; look at the
scheme's kernel, not at the checkpoint.
"""

import math
from collections.abc import Iterator

from conformance.case import Case
from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def floor_of(case: Case) -> float | None:
    """Return the lowest SQNR in dB that the output of a case may have; None for none."""
    return None if case.scheme.sqnr is None else case.scheme.sqnr - case.subject.deeper


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the SQNR with the scheme's floor."""
    floor, measured = floor_of(evidence.case), evidence.sqnr
    if measured is None:
        return
    if measured == math.inf:
        yield Difference("output", "equals the unquantized model", "quantization noise", "none")
    elif measured == -math.inf:
        yield Difference("output", "output is not finite", "finite values", "inf or nan")
    elif floor is not None and measured < floor:
        yield Difference("output", "SQNR is below the floor", f"{floor} dB", f"{measured:.1f} dB")


CHECK = Check("accuracy", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
