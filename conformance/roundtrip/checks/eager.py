"""What was compiled gives nearly what the quantized model gives without being compiled.

A compiled model rounds to bfloat16 in other places, so its output is never equal to the eager one,
bit for bit. It is judged by the cosine and by the signal to noise ratio in dB, both over floors
that were chosen below the least of a compiled CogVideoX (0.9999 and 37.6 dB, `docs/ahead.md`). It
must not be nearer to the unquantized model by 3 dB either: a package of the wrong model is else
within every floor. (Dynamic int8 rounds activations otherwise when it is compiled, and is nearer by
0.8 dB.) An equal output is a finding, too: then nothing was compiled.

Asked of formats that compile. What comes back must also be equal, bit for bit, to what the compiled
model gave before it was saved: that is `output`.

What to do: call the compiled model before saving. If it is far off there, the compiler is to blame
and no checkpoint.
"""

import math
from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage

COSINE = 0.999
SQNR = 30.0
MARGIN = 3.0


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare with the floors, and with the distance to the unquantized model."""
    measured = evidence.eager
    if measured is None:
        return
    if measured.sqnr == math.inf:
        yield Difference("output", "equals the eager output", "rounding of its own", "none")
    if measured.cosine < COSINE:
        yield Difference("output", "cosine is below the floor", COSINE, f"{measured.cosine:.5f}")
    if measured.sqnr < SQNR:
        yield Difference("output", "SQNR is below the floor", f"{SQNR} dB", f"{measured.sqnr:.1f}")
    if measured.unquantized >= measured.sqnr + MARGIN:
        wanted = f"{measured.unquantized:.1f} dB to it at most"
        got = f"{measured.sqnr:.1f} dB to the quantized"
        yield Difference("output", "closer to the unquantized model", wanted, got)


CHECK = Check("eager", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
