"""The reloaded model has the same entries as the saved one, of the same kind.

A key that is missing was not restored; an unexpected key was invented by the loader. Non-persistent
buffers count: no file holds them, so the loader must compute them again. A parameter that comes
back as a buffer is a difference, too.

What to do: compare the key with the names in the checkpoint's files. A missing key with its data
on disk is the loader's fault; one without is the writer's.
"""

from collections.abc import Iterator

from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare the key sets and the kind of each entry."""
    wanted, got = evidence.record.facts.tensors, evidence.came_back.tensors
    for key in sorted(wanted.keys() - got.keys()):
        yield Difference(key, "key is missing", wanted[key].kind, "nothing")
    for key in sorted(got.keys() - wanted.keys()):
        yield Difference(key, "key is unexpected", "nothing", got[key].kind)
    for key, before, after in evidence.pairs():
        if before.kind != after.kind:
            yield Difference(key, "kind differs", before.kind, after.kind)


CHECK = Check("keys", Stage.STRUCTURE, Side.READER, Harm.CORRUPT, run)
