"""The files hold exactly the bytes of the tensors, and no quantized weight is larger than promised.

File bytes, not `get_memory_footprint()`, which calls a quantized weight what its bf16 twin weighs.
Three sums: the tensor data in the files equals the tensors of the record; each quantized weight
stays within its scheme's bits per weight; everything else in the files (headers, indexes, pickled
structure) stays small.

What to do: more payload than the record means data written twice; a weight over its limit was
stored in a wider dtype.
"""

import re
from collections.abc import Iterator

from conformance.axes.base import PayloadLimit
from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.facts import ModelFacts, TensorFacts
from conformance.roundtrip.outcome import Harm, Stage
from conformance.roundtrip.record import Record

FLOAT32 = "torch.float32"
OVERHEAD_PER_TENSOR = 4096
OVERHEAD_PER_TENSOR_AND_FILE = 512
OVERHEAD = 16384


def run(evidence: Evidence) -> Iterator[Difference]:
    """Do the three sums."""
    record, scheme = evidence.record, evidence.case.scheme
    saved = record.facts.tensors if evidence.case.format.holds_all else record.facts.saved
    total = sum(facts.bytes for facts in saved.values())
    # Tensors in the same memory are written once by some formats, once each by others.
    fewest = total - shared_bytes(record.facts)
    if not fewest <= record.payload_bytes <= total:
        yield Difference("files", "payload differs", f"{total} bytes", record.payload_bytes)
    for key, facts in record.facts.quantized.items():
        limit = scheme.payload(facts.shape)
        if (counted := bytes_as_of_bf16(facts)) > limit:
            yield Difference(key, "weight exceeds its limit", f"{limit} bytes", counted)
    overhead = sum(record.file_bytes.values()) - record.payload_bytes
    # Every shard of a safetensors checkpoint repeats the metadata of all tensors.
    repeated = OVERHEAD_PER_TENSOR_AND_FILE * max(len(record.file_bytes), files_in(record))
    allowed = OVERHEAD + (OVERHEAD_PER_TENSOR + repeated) * len(saved)
    if not 0 <= overhead <= allowed:
        yield Difference("files", "overhead is too large", f"0 to {allowed} bytes", overhead)


def files_in(record: Record) -> int:
    """Count the weight files, also where an archive holds them."""
    return len({re.split("[/#]", name, maxsplit=1)[0] for name in record.digests})


def bytes_as_of_bf16(facts: TensorFacts) -> int:
    """Return the bytes of a quantized weight, as if it had been quantized from bf16.

    Limits are those of bf16 weights. Some layers are kept in float32, and then so are the scales.
    """
    wide = sum(inner.bytes for inner in facts.inner.values() if inner.dtype == FLOAT32)
    return facts.bytes - (wide // 2 if facts.dtype == FLOAT32 else 0)


def most_bytes(facts: ModelFacts, limit: PayloadLimit) -> int:
    """Return the most bytes of tensor data that the files may hold: what every weight may."""
    return sum(
        limit(each.shape) + each.bytes - bytes_as_of_bf16(each) if each.quantized else each.bytes
        for each in facts.saved.values()
    )


def shared_bytes(facts: ModelFacts) -> int:
    """Return the bytes that a file may save by writing shared memory once."""
    sizes = {
        f"{key}/{name}": inner.bytes
        for key, tensor in facts.saved.items()
        for name, inner in tensor.inner.items()
    }
    groups = [[sizes[path] for path in group if path in sizes] for group in facts.aliases]
    return sum(sum(group) - max(group) for group in groups if group)


CHECK = Check("payload", Stage.SIZE, Side.WRITER, Harm.ALTERED, run)
