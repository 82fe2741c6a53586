"""Every quantized layer is close to the unquantized one, for the input that the latter gets.

Asked of models of published dimensions, layer by layer: there the output of the whole model says
little about one layer of hundreds. Each Linear is called with its bf16 weight and with its
quantized weight for the same input; the scheme's floor for the output holds for each layer.

What to do: one layer alone points to its weight or scale, many of one shape to a kernel.
"""

import math
from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the SQNR of each layer with the scheme's floor."""
    floor, covers = evidence.case.scheme.sqnr, evidence.case.scheme.covers
    for name, measured in evidence.layers.items():
        key = f"{name}.weight"
        if not covers(evidence.linears[key]):
            continue
        if measured == math.inf:
            yield Difference(key, "equals the unquantized layer", "quantization noise", "none")
        elif measured == -math.inf:
            yield Difference(key, "the layer's output is not finite", "finite values", "inf or nan")
        elif floor is not None and measured < floor:
            yield Difference(key, "layer is far off", f"{floor} dB", f"{measured:.1f} dB")


CHECK = Check("layers", Stage.OUTPUT, Side.WRITER, Harm.CORRUPT, run)
