"""Every parameter comes back with the `requires_grad` that it was saved with.

`quantize_` gives quantized weights `requires_grad=False`. A weight that comes back with True joins
the autograd graph: it costs memory in a forward pass without `no_grad`, an optimizer takes it for
trainable, and torchao's `unwrap_tensor_subclass` refuses it.

Formats of bare state dicts are not asked: a state dict does not hold the flag, and
`load_state_dict(assign=True)` is documented to keep the one of the model that it assigns to.

What to do: call `model.requires_grad_(False)` after loading.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare `requires_grad`, where the format can hold it."""
    if not evidence.case.format.has_requires_grad:
        return
    for key, before, after in evidence.pairs():
        if before.requires_grad != after.requires_grad:
            what = f"requires_grad came back {after.requires_grad}"
            yield Difference(key, what, before.requires_grad, after.requires_grad)


CHECK = Check("requires_grad", Stage.STRUCTURE, Side.READER, Harm.ALTERED, run)
