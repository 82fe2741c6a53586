"""The pipeline draws the same picture with the reloaded model, every frame bit for bit.

Asked of the subjects that are a whole pipeline. The model is handed to the pipeline as the
published recipe does, or comes back inside it where the whole pipeline was saved. The generator is
seeded anew for each call; the same pipeline called twice must already draw the same, and a case in
which it does not has no result.

What to do: if `bits` and `output` are silent, the pipeline around the model is another one: compare
the other parts, the configs of scheduler and VAE first; then look whether the pipeline uses the
model that it was handed.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare shape and digest of every frame."""
    wanted, got = evidence.record.pictures, evidence.pictures
    if not wanted or not got:  # a failure, or a storage-only case: somebody else says so
        return
    if len(wanted) != len(got):
        yield Difference("picture", "number of frames differs", len(wanted), len(got))
    for number, (before, after) in enumerate(zip(wanted, got, strict=False)):
        if before != after:
            where = evidence.explain("picture:quantized")
            yield Difference(f"picture/{number}", "picture differs", before.digest, where)


CHECK = Check("picture", Stage.OUTPUT, Side.READER, Harm.CORRUPT, run)
