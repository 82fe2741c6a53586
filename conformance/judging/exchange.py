"""What it is worth that one version reads what another one wrote."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conformance._compat import StrEnum
from conformance.environment import PYTHON
from conformance.judging.verdicts import is_refusal
from conformance.roundtrip.kept import Readings
from conformance.roundtrip.outcome import Harm, Outcome
from conformance.roundtrip.settle import OF_THE_OUTPUT


class Exchanged(StrEnum):
    """What one reading of a checkpoint is worth, in order of harm."""

    BITS_EQUAL = "bits equal"
    """What came back is what was saved."""
    REFUSED = "refused"
    """The reader says clearly that it does not read this."""
    ALTERED = "altered"
    """Bits and outputs are equal; something else is not."""
    FAILED = "failed"
    """It cannot be loaded or not be called, and nobody says why."""
    OUTPUT_DIFFERS = "output differs"
    """It loads, silently, bit for bit, and computes something else."""
    CORRUPT = "corrupt"
    """It loads, silently, to other bits."""

    @property
    def usable(self) -> bool:
        """Has the reader what the writer had?"""
        return self in (Exchanged.BITS_EQUAL, Exchanged.ALTERED)

    @property
    def harm(self) -> int:
        """Its place in the order."""
        return tuple(Exchanged).index(self)


class Unmeasured(StrEnum):
    """Why there is nothing to say about a cell. Never a pass."""

    NOT_WRITTEN = "not written"
    """The writer has no such checkpoint."""
    NO_ENVIRONMENT = "no environment"
    """The writer's or the reader's environment could not be made."""
    NO_RESULT = "no result"
    """The reader hung, died or cannot do it here."""


@dataclass(frozen=True)
class Nothing:
    """The reason of a cell that was not measured."""

    why: Unmeasured
    reason: str


@dataclass(frozen=True)
class Cell:
    """A case written by one environment and read by another."""

    case: str
    writer: str
    """Label of the versions: `torchao0.17.0,diffusers0.42.1`."""
    reader: str
    readings: Readings | None = None
    nothing: Nothing | None = None
    """Set where there are no readings."""

    @property
    def id(self) -> str:
        """The case with writer and reader behind it."""
        return f"{self.case}@{self.writer}>{self.reader}"

    @property
    def verdict(self) -> Exchanged | None:
        """What a reader gets who calls the case's own loader; None where it was not measured."""
        return None if self.readings is None else worth(self.readings.loader)

    @property
    def weights(self) -> Exchanged | None:
        """What the weight files alone give."""
        return None if self.readings is None else worth(self.readings.weights)

    @property
    def config(self) -> Exchanged | None:
        """What diffusers makes of the quantization in `config.json`; None where there is none."""
        config = None if self.readings is None else self.readings.config
        return None if config is None else worth(config)

    @property
    def blocked_by(self) -> str:
        """What stands before weights that are usable: `config.json`, `loader`, or nothing."""
        if self.verdict is None or self.weights is None:
            return ""
        if self.verdict.usable or not self.weights.usable:
            return ""
        bad = self.config is not None and not self.config.usable
        return "config.json" if bad else "loader"

    @property
    def unmeasured(self) -> Unmeasured | None:
        """Why there is no verdict; None where there is one."""
        if self.nothing is not None:
            return self.nothing.why
        return Unmeasured.NO_RESULT if self.verdict is None else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` takes what it needs of it."""
        return {
            "id": self.id,
            "case": self.case,
            "writer": self.writer,
            "reader": self.reader,
            "verdict": self.verdict,
            "weights": self.weights,
            "config": self.config,
            "blocked_by": self.blocked_by,
            "unmeasured": self.unmeasured,
            "readings": None if self.readings is None else self.readings.to_json(),
            "nothing": None if self.nothing is None else asdict(self.nothing),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Cell":
        """Rebuild a cell; its verdicts are found anew.

        Raises:
            KeyError, TypeError, ValueError: the dictionary is no cell, or contradicts itself.
        """
        readings, nothing = data["readings"], data["nothing"]
        cell = cls(
            case=data["case"],
            writer=data["writer"],
            reader=data["reader"],
            readings=None if readings is None else Readings.from_json(readings),
            nothing=None
            if nothing is None
            else Nothing(Unmeasured(nothing["why"]), nothing["reason"]),
        )
        if (cell.readings is None) == (cell.nothing is None):
            raise ValueError("a cell has readings, or a reason why it has none")
        if (cell.id, cell.verdict) != (data["id"], data["verdict"]):
            raise ValueError("the cell says another verdict than its readings")
        return cell


def worth(outcome: Outcome) -> Exchanged | None:
    """Return what one reading is worth; None for one without a result."""
    if outcome.no_result is not None:
        return None
    silent = {each.check for each in outcome.findings if each.harm is Harm.CORRUPT}
    if silent - OF_THE_OUTPUT:
        return Exchanged.CORRUPT
    if outcome.failure is not None:
        return Exchanged.REFUSED if is_refusal(outcome.failure) else Exchanged.FAILED
    if silent:
        return Exchanged.OUTPUT_DIFFERS
    return Exchanged.ALTERED if outcome.findings else Exchanged.BITS_EQUAL


def label(versions: Mapping[str, str], *more: str) -> str:
    """Return the versions that stand in an id, torchao and diffusers first.

    Where neither is there, other libraries are under test, and all of them stand in it.
    """
    tested = ("torchao", "diffusers")
    names = (
        tested if any(name in versions for name in tested) else sorted(versions.keys() - {PYTHON})
    )
    return ",".join(f"{name}{versions.get(name, '-')}" for name in (*names, *more))


def labels(environments: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return a label a name of an environment, as short as keeps them apart.

    Two environments that differ in torch only have it in their labels, and two of equal versions
    have their names.
    """
    for more in ((), ("torch",)):
        found = {name: label(versions, *more) for name, versions in environments.items()}
        if len(set(found.values())) == len(found):
            return found
    return {name: f"{found[name]},{name}" for name in environments}


def counts(cells: Iterable[Cell]) -> dict[str, int]:
    """Count the cells by verdict, worst first, and those that were not measured beside them."""
    found = Counter(str(each.verdict or each.unmeasured) for each in cells)
    order = [*reversed(Exchanged), *Unmeasured]
    return {str(each): found[str(each)] for each in order}
