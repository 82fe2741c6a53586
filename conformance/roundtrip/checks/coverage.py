"""Nothing is quantized that should not be, and nothing is left unquantized that should be.

Every scheme quantizes the weights of all `torch.nn.Linear`s that it can divide, into
the tensor subclasses that it promises, and nothing else. A format that alters the model before it
saves it (adapters, dequantizing) is not asked: the others are asked of the same model.

What to do: a layer that was left out keeps its bf16 size on disk and its speed; look for a filter
or a silent skip in the library.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the quantized keys with the weights that the scheme covers."""
    if evidence.case.format.alters is not None:
        return
    promised, scheme = evidence.tensors, evidence.case.scheme
    facts = evidence.record.facts.tensors
    targets = {key for key, shape in evidence.linears.items() if scheme.covers(shape)}
    for key, fact in facts.items():
        name = fact.subclass.partition("/")[0]
        if key in targets and not fact.quantized:
            yield Difference(key, "left unquantized", " or ".join(promised), name)
        elif key in targets and name not in promised:
            yield Difference(key, "quantized to another subclass", " or ".join(promised), name)
        elif key not in targets and fact.quantized:
            yield Difference(key, "quantized, though it should not be", "Tensor", name)
    for key in sorted(targets - facts.keys()):
        yield Difference(key, "gone after quantizing", " or ".join(promised), "absent")


CHECK = Check("coverage", Stage.STRUCTURE, Side.WRITER, Harm.CORRUPT, run)
