"""What became of a damaged checkpoint: pure, over what a reader told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance._compat import StrEnum
from conformance.judging.signature import signature
from conformance.roundtrip.outcome import NoResult

SAID = 200
"""Characters of a message that are kept."""


class Fate(StrEnum):
    """What a loader made of it, worst first."""

    SILENT = "silent"
    """It loads without an error, to something else."""
    DETECTED = "detected"
    """The loader raised."""
    HARMLESS = "harmless"
    """It loads to the same bits and the same output."""


class Differs(StrEnum):
    """In what a model that was loaded differs from the undamaged one."""

    BITS = "bits"
    """The elements of a tensor."""
    STRUCTURE = "structure"
    """Keys, subclasses, dtypes, shapes, strides, attributes, or a tensor on meta."""
    OUTPUT = "output"
    """What it computes, or whether it can be called."""
    CONFIG = "config"
    """What it says of itself; alone, that is harmless."""


@dataclass(frozen=True)
class Reading:
    """What a reader got from one directory."""

    error: tuple[str, str] | None = None
    """Type and message of what the loader raised."""
    tensors: Mapping[str, Any] | None = None
    """Facts of every tensor by key, JSON-ready; None when nothing was loaded."""
    config: Mapping[str, Any] | None = None
    output: str = ""
    """Digest of the output; `Type: message` when the model could not be called."""
    warned: tuple[str, ...] = ()
    """What the libraries warned of while loading."""
    no_result: NoResult | None = None
    """The process died, hung, or met the limit of its memory."""


@dataclass(frozen=True)
class Result:
    """One mutation, and what became of it."""

    case: str
    kind: str
    name: str
    fate: Fate | None
    """None without a result."""
    no_result: str = ""
    differs: tuple[Differs, ...] = ()
    error: str = ""
    """The signature of what the loader raised, or of why there is no result."""
    called: str = ""
    """The signature of what calling a model raised that was loaded silently."""
    warned: bool = False
    """Did the libraries warn of anything that they do not warn of otherwise?"""
    inspected: bool = False
    """Does `conformance inspect` say that something is wrong?"""
    ran: bool = False
    """Did a pickle execute what it holds?"""
    spoils: bool = False
    """Does the same process read the undamaged checkpoint otherwise afterwards?"""

    @property
    def id(self) -> str:
        """The case and the mutation."""
        return f"{self.case} {self.kind}/{self.name}"

    @property
    def format(self) -> str:
        """The format of the case."""
        return self.case.split(".")[3]


def differences(wanted: Reading, got: Reading) -> tuple[Differs, ...]:
    """Return in what two models differ that were both loaded."""
    return tuple(_differences(wanted, got))


def _differences(wanted: Reading, got: Reading) -> Iterator[Differs]:
    ours, theirs = wanted.tensors or {}, got.tensors or {}
    if _bits(ours) != _bits(theirs):
        yield Differs.BITS
    if _structure(ours) != _structure(theirs):
        yield Differs.STRUCTURE
    if wanted.output != got.output:
        yield Differs.OUTPUT
    if wanted.config != got.config:
        yield Differs.CONFIG


def _bits(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(inner["digest"] for inner in facts["inner"].values())
        for key, facts in tensors.items()
    }


def _structure(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {
            **facts,
            "inner": {
                name: {each: value for each, value in inner.items() if each != "digest"}
                for name, inner in facts["inner"].items()
            },
        }
        for key, facts in tensors.items()
    }


def result(
    case: str, mutation: tuple[str, str], wanted: Reading, got: Reading, *, inspected: bool
) -> Result:
    """Judge what a reader got against what it gets from the undamaged checkpoint."""
    if got.no_result is not None:
        return Result(
            case,
            *mutation,
            None,
            no_result=str(got.no_result.kind),
            error=told(got.no_result.reason),
            inspected=inspected,
        )
    if got.error is not None:
        return Result(
            case, *mutation, Fate.DETECTED, error=told(": ".join(got.error)), inspected=inspected
        )
    differs = differences(wanted, got)
    silent = bool({*differs} - {Differs.CONFIG})
    return Result(
        case,
        *mutation,
        Fate.SILENT if silent else Fate.HARMLESS,
        differs=differs,
        called=told(got.output) if ": " in got.output else "",
        warned=bool({*got.warned} - {*wanted.warned}),
        inspected=inspected,
    )


def told(message: str) -> str:
    """Return a message without what differs between two runs, as one line of bounded length."""
    return signature(message[: 4 * SAID])[:SAID]
