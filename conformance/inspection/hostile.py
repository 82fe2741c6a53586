"""What a plain load of a pickle would execute."""

from collections.abc import Iterable, Iterator

from conformance.inspection.allowed import is_known, is_torchao
from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.weights import File

MEND = "never load it with weights_only=False; ask its source for safetensors"


def executed(files: Iterable[File], measured: frozenset[str]) -> Iterator[Finding]:
    """Tell what pickles name beside weights.

    A class of torchao that nobody measured is told, and is not held against the file.
    """
    for file in files:
        strange = [name for name in file.names if not is_known(name, measured)]
        new = [name for name in strange if is_torchao(name)]
        rest = [name for name in strange if not is_torchao(name)]
        if rest:
            what = f"a plain load would import and may call {some(rest)}"
            yield Finding(Kind.HOSTILE, file.name, what, MEND)
        if new:
            what = f"torchao names that no measured checkpoint has: {some(new)}"
            yield Finding(Kind.NOTE, file.name, what)
