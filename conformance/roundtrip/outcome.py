"""What one case gave: facts only. What they are worth is decided in `conformance.judging`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance._compat import StrEnum


class Stage(StrEnum):
    """The ladder of a case, in order. A verdict names the first stage that broke."""

    RESOLVE = "resolve"
    """The scheme is found in the installed torchao."""
    BUILD = "build"
    """The bf16 model is built from config and seed."""
    QUANTIZE = "quantize"
    """The route is applied and the record is taken."""
    SAVE = "save"
    """The format writes the checkpoint."""
    INSPECT = "inspect"
    """The files on disk are read without the library that wrote them."""
    LOAD = "load"
    """The format reads the checkpoint."""
    STRUCTURE = "structure"
    """Keys, subclasses, dtypes, shapes, attributes, config."""
    BITS = "bits"
    """Every inner tensor, bit for bit."""
    OUTPUT = "output"
    """The outputs for seeded inputs."""
    SIZE = "size"
    """The bytes on disk."""
    RESAVE = "resave"
    """The reloaded model is saved again, twice."""


class Reader(StrEnum):
    """Who read the checkpoint."""

    SAME = "same"
    """The process that wrote it."""
    FRESH = "fresh"
    """A process that imported nothing of what the writer imported."""
    BOTH = "both"
    """Both, with the same finding."""


class Harm(StrEnum):
    """What a finding does to somebody who loads the checkpoint."""

    ALTERED = "altered"
    """Weights and outputs are equal; something else is not."""
    CORRUPT = "corrupt"
    """It loads, silently, to something else."""


@dataclass(frozen=True)
class Finding:
    """One difference that a check saw."""

    check: str
    stage: Stage
    harm: Harm
    path: str
    """The tensor, inner tensor, config key or file: `blocks.0.attn.to_q.weight/scale`."""
    what: str
    """What is different, in few words that are equal for equal causes: `bits differ`."""
    wanted: str
    got: str
    reader: Reader = Reader.SAME


@dataclass(frozen=True)
class Failure:
    """An exception of the libraries under test."""

    stage: Stage
    type: str
    message: str
    traceback: str = ""
    reader: Reader = Reader.SAME
    leftovers: tuple[str, ...] = ()
    """Files that a failed save left behind, relative to the checkpoint's directory."""


class NoResultKind(StrEnum):
    """Why a case has no verdict."""

    SKIPPED = "skipped"
    """The machine or the versions cannot do it."""
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    KILLED = "killed"
    """The process died by a signal."""
    HARNESS_ERROR = "harness error"
    """The suite cannot vouch for its own measurement."""


@dataclass(frozen=True)
class NoResult:
    """Stands beside the verdicts; never counted as a pass."""

    kind: NoResultKind
    reason: str
    stage: Stage | None = None


@dataclass(frozen=True)
class Progress:
    """How far a part of a large case has come."""

    part: str
    done: int
    """Bytes."""
    total: int
    """Bytes; 0 where nobody knows."""


@dataclass(frozen=True)
class Step:
    """A stage that was gone through, with its wall time."""

    stage: Stage
    seconds: float
    reader: Reader = Reader.SAME


@dataclass(frozen=True)
class Outcome:
    """Everything that one run of one case gave."""

    case: str
    steps: tuple[Step, ...] = ()
    findings: tuple[Finding, ...] = ()
    failure: Failure | None = None
    no_result: NoResult | None = None
    storage_only: str = ""
    """Why the output was not judged, or empty when it was."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Numbers by name: `sqnr_db`, `payload_bytes`, `payload_limit_bytes`, `file_bytes`,
    `bf16_bytes`, ..."""
    files: Mapping[str, int] = field(default_factory=dict)
    """Bytes of every file of the checkpoint, by name; empty where none was written."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Files to look at by name, relative to the folder of the results file; see `Gallery`."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, with pictures only where there are any.

        `from_json` is its inverse.
        """
        data = asdict(self)
        return data if self.pictures else {k: v for k, v in data.items() if k != "pictures"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Outcome":
        """Rebuild an outcome from `to_json`'s dictionary.

        Raises:
            KeyError, TypeError, ValueError: the dictionary is not an outcome.
        """
        return cls(
            case=data["case"],
            steps=tuple(
                Step(Stage(step["stage"]), step["seconds"], Reader(step["reader"]))
                for step in data["steps"]
            ),
            findings=tuple(_finding(each) for each in data["findings"]),
            failure=_failure(data["failure"]),
            no_result=_no_result(data["no_result"]),
            storage_only=data["storage_only"],
            measures=dict(data["measures"]),
            files=dict(data.get("files", {})),  # results of before they were kept have none
            pictures=dict(data.get("pictures", {})),
        )


def _finding(data: Mapping[str, Any]) -> Finding:
    return Finding(
        **{
            **data,
            "stage": Stage(data["stage"]),
            "harm": Harm(data["harm"]),
            "reader": Reader(data["reader"]),
        }
    )


def _failure(data: Mapping[str, Any] | None) -> Failure | None:
    if data is None:
        return None
    return Failure(
        **{
            **data,
            "stage": Stage(data["stage"]),
            "reader": Reader(data["reader"]),
            "leftovers": tuple(data["leftovers"]),
        }
    )


def _no_result(data: Mapping[str, Any] | None) -> NoResult | None:
    if data is None:
        return None
    stage = data["stage"]
    return NoResult(NoResultKind(data["kind"]), data["reason"], Stage(stage) if stage else None)
