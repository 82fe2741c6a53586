"""The checkpoint is smaller than the bf16 one by the ratio that the scheme promises.

Asked of models with at least 10 M parameters: in a tiny one, scales and headers outweigh weights.
Shards that the suite keeps small enough to split a weight are not asked: every shard of a
safetensors checkpoint repeats the metadata of all tensors. Shards of gigabytes are. The bf16 size
is two bytes for every element of the state dict. Where a graph or code lies beside the tensors,
what it may take (`Format.beside`, measured) is taken off first.

What to do: if `payload` is silent, too little of the model was quantized; see `coverage`.
"""

import math
from collections.abc import Iterator

from conformance.axes.base import Size
from conformance.case import Case
from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage
from conformance.roundtrip.record import Record


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare file bytes with the bf16 bytes."""
    if not is_asked(evidence.case):
        return
    promised = evidence.case.scheme.reduction
    counted = sum(evidence.record.file_bytes.values()) - evidence.case.format.beside
    ratio = counted / bf16_bytes(evidence.record)
    if ratio > promised:
        yield Difference("files", "reduction is not reached", f"{promised:.3f}", f"{ratio:.3f}")


def is_asked(case: Case) -> bool:
    """Do weights outweigh what lies beside them?"""
    tiny = case.subject.size in (Size.TINY, Size.PIPELINE)
    small_shards = case.format.sharded and case.format.shard_bytes is None
    return not (tiny or small_shards)


def bf16_bytes(record: Record) -> int:
    """Return the bytes of the same state dict in bfloat16."""
    return sum(2 * math.prod(facts.shape) for facts in record.facts.saved.values())


CHECK = Check("reduction", Stage.SIZE, Side.WRITER, Harm.ALTERED, run)
