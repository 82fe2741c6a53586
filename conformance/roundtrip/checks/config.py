"""`config.json` is equal after a round trip, and stays equal over three.

The first save's config is compared with those of the second and the third, which saved what was
loaded. `_name_or_path` says where a model was loaded from and is left out.

What to do: a key that drifts is usually one that the loader fills with a default.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage

PROVENANCE = frozenset({"_name_or_path"})


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare each later config with the first, key by key."""
    wanted = evidence.record.config
    for number, resaved in enumerate(evidence.resaved, start=2):
        got = resaved.config
        if wanted is None or got is None:
            continue
        for key in sorted((wanted.keys() | got.keys()) - PROVENANCE):
            before, after = wanted.get(key, "nothing"), got.get(key, "nothing")
            if before != after:
                yield Difference(f"config.json:{key}@{number}", f"{key} differs", before, after)


CHECK = Check("config", Stage.STRUCTURE, Side.RESAVER, Harm.ALTERED, run)
