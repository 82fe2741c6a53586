"""The files hold exactly the bytes of the tensors, and no quantized weight is larger than promised.

File bytes, not `get_memory_footprint()`, which calls a quantized weight what its bf16 twin weighs.
Three sums: the tensor data in the files equals the tensors of the record; each quantized weight
stays within its scheme's bits per weight; everything else in the files (headers, indexes, pickled
structure) stays small.

What to do: more payload than the record means data written twice; a weight over its limit was
stored in a wider dtype.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage

OVERHEAD_PER_TENSOR = 4096
OVERHEAD = 16384


def run(evidence: Evidence) -> Iterator[Difference]:
    """Do the three sums."""
    record, scheme = evidence.record, evidence.case.scheme
    saved = record.facts.saved
    total = sum(facts.bytes for facts in saved.values())
    if record.payload_bytes != total:
        yield Difference("files", "payload differs", f"{total} bytes", record.payload_bytes)
    for key, facts in record.facts.quantized.items():
        limit = scheme.payload(facts.shape)
        if facts.bytes > limit:
            yield Difference(key, "weight exceeds its limit", f"{limit} bytes", facts.bytes)
    overhead = sum(record.file_bytes.values()) - record.payload_bytes
    allowed = OVERHEAD + OVERHEAD_PER_TENSOR * len(saved)
    if not 0 <= overhead <= allowed:
        yield Difference("files", "overhead is too large", f"0 to {allowed} bytes", overhead)


CHECK = Check("payload", Stage.SIZE, Side.WRITER, Harm.ALTERED, run)
