"""The record: what must come back, readable with safetensors and JSON alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.errors import UsageError
from conformance.roundtrip.facts import ModelFacts

SCHEMA = 1
RECORD = "record.json"
ORACLE = "oracle.safetensors"


@dataclass(frozen=True)
class Output:
    """The output of a forward pass for seeded inputs."""

    digest: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """What must come back of one checkpoint."""

    case: str
    seed: int
    facts: ModelFacts
    config: Mapping[str, Any] | None
    """`config.json` as the first save wrote it; None for formats without one."""
    digests: Mapping[str, str]
    """What the weight files hold, by name."""
    payload_bytes: int
    """Bytes of tensor data in the weight files."""
    file_bytes: Mapping[str, int]
    """Size of every file by name relative to the checkpoint's directory."""
    output: Output | None
    """Of the quantized model; None when the case is `storage only`."""
    reference: Output
    """Of the unquantized model."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distributions that wrote the checkpoint."""

    def save(self, directory: Path) -> None:
        """Write `record.json`."""
        outputs = {
            "output": None if self.output is None else vars(self.output),
            "reference": vars(self.reference),
        }
        data = {**vars(self), **outputs, "facts": self.facts.to_json(), "schema": SCHEMA}
        (directory / RECORD).write_text(json.dumps(data), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "Record":
        """Read `record.json`.

        Raises:
            UsageError: it is missing, broken, or of another schema.
        """
        path = directory / RECORD
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data.pop("schema")
            if schema == SCHEMA:
                return _record(data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: not a record ({error}); write the case again") from error
        raise UsageError(
            f"{path}: record schema {schema}, this suite reads {SCHEMA}; write it again"
        )


def _record(data: Mapping[str, Any]) -> Record:
    rebuilt = {
        "facts": ModelFacts.from_json(data["facts"]),
        "output": _output(data["output"]),
        "reference": _output(data["reference"]),
    }
    return Record(**{**data, **rebuilt})


def _output(data: Mapping[str, Any] | None) -> Output | None:
    return None if data is None else Output(**{**data, "shape": tuple(data["shape"])})
