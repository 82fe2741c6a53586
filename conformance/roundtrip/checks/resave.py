"""What was loaded saves to the same contents again, twice.

The contents of the files are compared, tensor by tensor, with the first save; not the files, whose
order is free. Differences in metadata alone are `altered`.

What to do: if `bits` is silent, the reloaded model holds the right tensors and the second save
wrote something else: look for state that a model only has after loading.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the contents of the second and third save with the first."""
    wanted = evidence.record.digests
    for number, resaved in enumerate(evidence.resaved, start=2):
        got = resaved.digests
        for name in sorted(wanted.keys() | got.keys()):
            before, after = wanted.get(name, "nothing"), got.get(name, "nothing")
            if before != after:
                what = f"save {number} differs"
                # A note (metadata, class names) has a hash sign in its name.
                harm = Harm.ALTERED if "#" in name else None
                yield Difference(f"{name}@{number}", what, before, after, harm)


CHECK = Check("resave", Stage.RESAVE, Side.RESAVER, Harm.CORRUPT, run)
