"""Every tensor comes back on the device that was asked for, and nothing is left on meta.

A tensor on the meta device has a shape and no data. torchao leaves a weight there when one of its
inner tensors is missing from the file, diffusers says nothing, and a forward pass on CPU then
computes with whatever lies in memory.

What to do: compare the names in the safetensors files with the metadata entry of the weight.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Look at the device of every inner tensor."""
    wanted = str(evidence.case.device.reader)
    for key, name, inner in evidence.came_back.leaves():
        if inner.device != wanted:
            what = "left on meta" if inner.device == "meta" else "device differs"
            yield Difference(f"{key}/{name}", what, wanted, inner.device)


CHECK = Check("device", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
