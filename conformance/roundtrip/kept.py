"""Checkpoints that are kept: how they lie in a directory, and the index of what was written.

<directory>/index.json
<directory>/<case id>/record.json, oracle.safetensors, checkpoint/...
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from conformance import __version__
from conformance._compat import StrEnum
from conformance.errors import UsageError
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome
from conformance.roundtrip.record import ORACLE, PIPELINE, RECORD

SCHEMA = 1
INDEX = "index.json"
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Index:
    """What one environment wrote into a directory."""

    versions: Mapping[str, str]
    """Distributions that wrote, as observed."""
    cases: Mapping[str, Outcome]
    """How writing each case ended, by case id."""
    suite: str = __version__

    @property
    def written(self) -> tuple[str, ...]:
        """The cases of which there is a checkpoint."""
        return tuple(case for case, outcome in self.cases.items() if was_written(outcome))

    def save(self, directory: Path) -> None:
        """Write `index.json`, at once or not at all."""
        cases = {case: outcome.to_json() for case, outcome in self.cases.items()}
        content = {"schema": SCHEMA, **vars(self), "cases": cases}
        beside = directory / f"{INDEX}.{os.getpid()}"
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(directory / INDEX)

    @classmethod
    def load(cls, directory: Path) -> "Index":
        """Read `index.json`.

        Raises:
            UsageError: it is missing, broken, or of another schema.
        """
        path = directory / INDEX
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data["schema"]
            if schema == SCHEMA:
                cases = {case: Outcome.from_json(each) for case, each in data["cases"].items()}
                return cls(dict(data["versions"]), cases, data["suite"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"{path}: no index of checkpoints ({error}); write them again"
            ) from None
        raise UsageError(
            f"{path}: index schema {schema}, this suite reads {SCHEMA}; write them again"
        )


def was_written(outcome: Outcome) -> bool:
    """Is there a checkpoint? What the writer's own checks found is no obstacle."""
    return outcome.failure is None and outcome.no_result is None


@dataclass(frozen=True)
class Keep:
    """Where a run leaves what it wrote, once it is verified."""

    directory: Path
    globs: tuple[str, ...] = ("*",)
    """Which cases; the others are removed as ever."""

    def take(self, case_id: str, place: Path) -> None:
        """Move the checkpoint of a case out of `place`, if there is one; at once or not at all."""
        target = self.directory / case_id
        shutil.rmtree(target, ignore_errors=True)
        if not (place / RECORD).is_file() or not any(fnmatchcase(case_id, g) for g in self.globs):
            return
        half = self.directory / f"{case_id}.{os.getpid()}"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        for name in (CHECKPOINT, ORACLE, RECORD, PIPELINE):
            if (place / name).exists():
                shutil.move(place / name, half / name)
        half.rename(target)

    def has(self, case_id: str) -> bool:
        """Is there a checkpoint of this case?"""
        return (self.directory / case_id / RECORD).is_file()


class Way(StrEnum):
    """By what a checkpoint is read."""

    LOADER = "loader"
    """The case's own loader: `from_pretrained` where there is a config."""
    WEIGHTS = "weights"
    """The weight files alone."""
    CONFIG = "config"
    """The quantization that `config.json` names, alone."""


@dataclass(frozen=True)
class Readings:
    """What one reader got from one checkpoint, each way apart from the others."""

    writer: str
    case: str
    loader: Outcome
    """Through the loader of the case's format: `from_pretrained` where there is a config."""
    weights: Outcome
    """Through the weight files alone: `torch.load(weights_only=True)`, or the safetensors reader
    with torchao's unflatten."""
    config: Outcome | None = None
    """What diffusers makes of the quantization that `config.json` names; None where it names
    none."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return {
            "writer": self.writer,
            "case": self.case,
            "loader": self.loader.to_json(),
            "weights": self.weights.to_json(),
            "config": None if self.config is None else self.config.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Readings":
        """Rebuild from `to_json`'s dictionary.

        Raises:
            KeyError, TypeError, ValueError: the dictionary holds no readings.
        """
        config = data["config"]
        return cls(
            writer=data["writer"],
            case=data["case"],
            loader=Outcome.from_json(data["loader"]),
            weights=Outcome.from_json(data["weights"]),
            config=None if config is None else Outcome.from_json(config),
        )


@dataclass(frozen=True)
class Request:
    """Checkpoints of one writer that a reader is asked to read."""

    writer: str
    """Its name, which comes back with every reading."""
    directory: Path
    cases: tuple[str, ...]
    """Case ids by which the checkpoints lie in the directory."""
    sparing: bool = False
    """Is what the loader can read not read in the other ways, too?"""


def spared(case_id: str) -> Outcome:
    """Return the reading of weights that nobody needs to read."""
    return Outcome(case_id, no_result=NoResult(NoResultKind.SKIPPED, "the loader reads it"))


def quantization_of(directory: Path) -> dict[str, Any] | None:
    """Return the quantization that a checkpoint's `config.json` names, if it names one."""
    path = directory / CHECKPOINT / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    named = config.get("quantization_config")
    return dict(named) if named else None
