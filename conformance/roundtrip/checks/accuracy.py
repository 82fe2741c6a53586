"""The reloaded model's output is close to the unquantized model's, and not equal to it.

Closeness is the signal to quantization noise ratio in dB; each scheme has a floor, measured on the
tiny and small models. A zeroed model has 0 dB, an unquantized one infinitely many, one whose output
is not finite none at all: all three are findings, also where a scheme has no floor.

What to do: if `output` is silent, the model was already far off when it was saved; look at the
scheme's kernel, not at the checkpoint.
"""

import math
from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the SQNR with the scheme's floor."""
    floor, measured = evidence.case.scheme.sqnr, evidence.sqnr
    if measured is None:
        return
    if measured == math.inf:
        yield Difference("output", "equals the unquantized model", "quantization noise", "none")
    elif measured == -math.inf:
        yield Difference("output", "output is not finite", "finite values", "inf or nan")
    elif floor is not None and measured < floor:
        yield Difference("output", "SQNR is below the floor", f"{floor} dB", f"{measured:.1f} dB")


CHECK = Check("accuracy", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
