"""No part of a large case takes more memory than the model it is about, and a little beside it.

Asked of models of published dimensions, of every part that their writer and their reader went
through (building, quantizing, saving, loading, ...): at most 1.08 times what the quantized model
holds (its payload, and the buffers that no file has) and 0.6 GB. Judged is what the process
allocated. Pages of files, which the system can take back, are told in the results and not judged.
A case that breaks on the way is not asked, nor is one whose config selects modules by name: there
the suite itself must fill the whole bf16 model before it is quantized. Nor is one on CUDA, whose
context takes memory that has nothing to do with a model.

What to do: in `quantize` the unquantized model was there too, in `save` or `load` the weights were
there twice; `conformance plan --measured FILE` has every part beside the bound.
"""

from collections.abc import Iterator, Mapping

from conformance.axes.base import Device
from conformance.case import Case
from conformance.roundtrip.budget import bound, gigabytes
from conformance.roundtrip.evidence import Check, Difference, Evidence, Side
from conformance.roundtrip.outcome import Harm, Stage

ANONYMOUS = ".anonymous_bytes"
"""Behind the name of a part, in the measures of a case."""
FLOORS = "floors"
"""The part in which the suite times the machine, with memory of its own."""


def run(evidence: Evidence) -> Iterator[Difference]:
    """Compare what each part took with what the model holds."""
    if not is_asked(evidence.case):
        return iter(())
    held = evidence.record.payload_bytes + evidence.record.facts.unsaved_bytes
    return over(evidence.measures, held)


def is_asked(case: Case) -> bool:
    """Is what is allocated a matter of the libraries, and of the model?"""
    filled = case.scheme.whole_model and not case.route.loads
    return case.device is Device.CPU and not filled


def over(measures: Mapping[str, float], held: float) -> Iterator[Difference]:
    """Yield the parts that allocated more than a model of so many bytes may take."""
    most = bound(held)
    for name, taken in measures.items():
        part = name.removesuffix(ANONYMOUS)
        if part not in (name, FLOORS) and taken > most:
            yield Difference(part, "memory is over the bound", gigabytes(most), gigabytes(taken))


CHECK = Check("memory", Stage.SIZE, Side.METER, Harm.ALTERED, run)
