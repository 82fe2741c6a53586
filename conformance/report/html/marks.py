"""How an ending looks: a letter and a shape besides the colour, so that it is seen without it."""

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.judging.exchange import Exchanged, Unmeasured
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import NoResultKind

ABSENT = "absent"
"""The ending of a case that this side of a comparison does not hold."""
NOT_RUN = "not run"
"""The ending of a planned cell that a run which was broken off never came to."""


@dataclass(frozen=True)
class Mark:
    """The look of one ending."""

    letter: str
    shape: str
    """A class of the style sheet: `circle`, `octagon`, ..."""
    tone: str
    """A class of the style sheet: `good`, `info`, `warn`, `poor`, `bad`, `worst` or `none`."""
    meaning: str


NO_RESULT: Mapping[str, Mark] = {
    NoResultKind.SKIPPED: Mark("-", "hatch", "none", "this machine or these versions cannot do it"),
    NoResultKind.TIMEOUT: Mark("T", "hatch", "none", "took longer than a case may"),
    NoResultKind.OUT_OF_MEMORY: Mark("M", "hatch", "none", "the memory did not suffice"),
    NoResultKind.KILLED: Mark("K", "hatch", "none", "the process died by a signal"),
    NoResultKind.HARNESS_ERROR: Mark("H", "hatch", "none", "the suite cannot vouch for it"),
    ABSENT: Mark("∅", "hatch", "none", "not in this results file"),
    NOT_RUN: Mark(".", "hatch", "none", "the run was broken off before"),
}
ROUND_TRIP: Mapping[str, Mark] = {
    Verdict.CORRUPT: Mark("C", "octagon", "worst", "loads, silently, to something else"),
    Verdict.LOAD_FAILED: Mark("L", "triangle", "bad", "was saved and cannot be loaded"),
    Verdict.SAVE_FAILED: Mark("S", "tag", "poor", "an unclear error while saving, or files left"),
    Verdict.QUANTIZE_FAILED: Mark("Q", "hexagon", "poor", "could not be quantized by this route"),
    Verdict.ALTERED: Mark("A", "square", "warn", "weights and outputs equal, something else not"),
    Verdict.REFUSED: Mark("R", "slant", "info", "a clear refusal, with nothing left behind"),
    Verdict.PASS: Mark("P", "circle", "good", "what came back is what was saved"),
    **NO_RESULT,
}
"""The endings of a round trip, worst first, and beside them what has no verdict."""
EXCHANGE: Mapping[str, Mark] = {
    Exchanged.CORRUPT: Mark("C", "octagon", "worst", "loads, silently, to other bits"),
    Exchanged.OUTPUT_DIFFERS: Mark("O", "octagon", "worst", "same bits, silently other outputs"),
    Exchanged.FAILED: Mark("F", "triangle", "bad", "cannot be loaded or not be called"),
    Exchanged.ALTERED: Mark("a", "square", "warn", "bits and outputs equal, something else not"),
    Exchanged.REFUSED: Mark("R", "slant", "info", "the reader says that it does not read this"),
    Exchanged.BITS_EQUAL: Mark("=", "circle", "good", "what came back is what was saved"),
    Unmeasured.NOT_WRITTEN: Mark("-", "hatch", "none", "the writer has no such checkpoint"),
    Unmeasured.NO_ENVIRONMENT: Mark("/", "hatch", "none", "the environment could not be made"),
    Unmeasured.NO_RESULT: Mark("?", "hatch", "none", "the reader hung, died or cannot do it here"),
    NOT_RUN: NO_RESULT[NOT_RUN],
}
"""The endings of a reading, worst first, and beside them what was not measured."""
