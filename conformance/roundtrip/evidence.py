"""What the checks look at, and what a check is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance._compat import StrEnum
from conformance.axes.base import Likeness
from conformance.case import Case
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.outcome import Finding, Harm, Stage
from conformance.roundtrip.record import Output, Record


class Side(StrEnum):
    """Where a check can be answered."""

    WRITER = "writer"
    """From the record and the files, before anything is loaded."""
    READER = "reader"
    """From what came back; answered once per reader."""
    RESAVER = "resaver"
    """From saving again what came back."""
    METER = "meter"
    """From what the parts of a large case cost; answered once they have ended, by each process."""


@dataclass(frozen=True)
class Resaved:
    """The reloaded model saved again: what the files hold, and `config.json`."""

    digests: Mapping[str, str]
    config: Mapping[str, Any] | None


@dataclass(frozen=True)
class Closeness:
    """How close the output of what was compiled is to outputs of models that were not."""

    cosine: float
    """To that of the quantized model."""
    sqnr: float
    """To that of the quantized model, in dB; infinite for equal outputs."""
    unquantized: float
    """To that of the unquantized model, in dB."""


@dataclass(frozen=True)
class Evidence:
    """The record, and what is known of one reading of the checkpoint."""

    case: Case
    record: Record
    tensors: tuple[str, ...] = ()
    """Tensor subclasses that the scheme promises."""
    linears: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape by key of the weights of the Linears that the route quantizes where it can."""
    caller: tuple[Any, Any] = (None, None)
    """The caller's quantization config before and after."""
    layers: Mapping[str, float] = field(default_factory=dict)
    """SQNR in dB by Linear, of large models; see `streamed.Reference`."""
    reloaded: ModelFacts | None = None
    output: Output | None = None
    sqnr: float | None = None
    """Of the reloaded model's output against the unquantized model's, in dB."""
    eager: Closeness | None = None
    """Of the reloaded model's output; None where nothing was compiled."""
    pictures: tuple[Output, ...] = ()
    """The frames that the pipeline drew with the reloaded model."""
    likeness: Likeness | None = None
    """Of these frames and those of the unquantized pipeline; None where there are none."""
    resaved: tuple[Resaved, ...] = ()
    """The second and the third save."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """What the parts of a large case took; see `Footprint`."""
    explain: Callable[[str], str] = lambda _: ""
    """`key/inner -> where and by how much it differs`, for models with an oracle."""

    @property
    def came_back(self) -> ModelFacts:
        """The reloaded model's facts.

        Raises:
            ValueError: this evidence is the writer's.
        """
        if self.reloaded is None:
            raise ValueError("a reader's check was asked about the writer")
        return self.reloaded

    def pairs(self) -> Iterable[tuple[str, Any, Any]]:
        """Yield `(key, wanted facts, got facts)` for the keys that both sides have."""
        for key, wanted in self.record.facts.tensors.items():
            if key in self.came_back.tensors:
                yield key, wanted, self.came_back.tensors[key]


@dataclass(frozen=True)
class Difference:
    """A finding before it is known which check saw it."""

    path: str
    what: str
    wanted: Any
    got: Any
    harm: Harm | None = None
    """None for the check's own."""


@dataclass(frozen=True)
class Check:
    """One question about a checkpoint. Its module's docstring is its documentation page."""

    name: str
    stage: Stage
    side: Side
    harm: Harm
    run: Callable[[Evidence], Iterable[Difference]]

    def findings(self, evidence: Evidence) -> list[Finding]:
        """Ask the question."""
        return [self.finding(each) for each in self.run(evidence)]

    def finding(self, seen: Difference) -> Finding:
        """Return a difference as what this check found."""
        return Finding(
            check=self.name,
            stage=self.stage,
            harm=seen.harm or self.harm,
            path=seen.path,
            what=seen.what,
            wanted=shorten(seen.wanted),
            got=shorten(seen.got),
        )


def shorten(value: Any, limit: int = 200) -> str:
    """Render a value for a findings table."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
