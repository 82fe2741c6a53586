"""The record: what must come back, readable with safetensors and JSON alone."""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.errors import UsageError
from conformance.roundtrip.facts import ModelFacts

SCHEMA = 1
RECORD = "record.json"
ORACLE = "oracle.safetensors"
PIPELINE = "pipeline"
"""The published pipeline, without its transformer: a reader hands it the one that was saved."""
READABLE = 0o644
"""What a temporary file is not: others may read a record."""


@dataclass(frozen=True)
class Output:
    """The output of a forward pass for seeded inputs."""

    digest: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """Where a record of somebody's own checkpoint comes from, and how that one is read."""

    model: str
    """A class of diffusers, or `module:Class`; empty for a plain state dict."""
    dtype: str
    """What the loader is asked for: `bfloat16`; empty for a plain state dict."""
    inputs: str
    """The family whose seeded inputs it was given, or `module:function`; empty for none."""
    silent: str
    """Why the outputs are not compared; empty when they are."""
    files: Mapping[str, str]
    """128-bit xxh3 of every file, in hex, by name relative to the checkpoint."""
    hardware: Mapping[str, str]
    recorded: str
    """ISO 8601, UTC."""


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
    reference: Output | None
    """Of the unquantized model; in the record of an own checkpoint of the family's tiny model, and
    None where it is of no family."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Distributions that wrote the checkpoint, or that it was recorded with."""
    source: Source | None = None
    """None where the suite wrote the checkpoint itself."""
    pictures: tuple[Output, ...] = ()
    """The frames that the pipeline drew with the quantized model; none without a pipeline."""

    def save(self, directory: Path) -> None:
        """Write `record.json`."""
        self.write(directory / RECORD)

    def write(self, path: Path) -> None:
        """Write the record, at once or not at all: what was broken off leaves no half of it.

        Raises:
            OSError: the path cannot be written.
        """
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".half-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                # Not `json.dump`, whose encoder is not the fast one.
                file.write(json.dumps(self.to_json()))
            Path(name).chmod(READABLE)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        data = {
            **vars(self),
            "facts": self.facts.to_json(),
            "output": None if self.output is None else vars(self.output),
            "reference": None if self.reference is None else vars(self.reference),
            "schema": SCHEMA,
        }
        source, pictures = data.pop("source"), data.pop("pictures")
        if source is not None:
            data["source"] = vars(source)
        return {**data, "pictures": [vars(each) for each in pictures]} if pictures else data

    @classmethod
    def load(cls, directory: Path) -> "Record":
        """Read `record.json`.

        Raises:
            UsageError: it is missing, broken, or of another schema.
        """
        return cls.read(directory / RECORD)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a record from a file of any name; the errors are those of `load`."""
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
        "source": Source(**data["source"]) if "source" in data else None,
        "pictures": tuple(_frame(each) for each in data.get("pictures", ())),
    }
    return Record(**{**data, **rebuilt})


def _output(data: Mapping[str, Any] | None) -> Output | None:
    return None if data is None else _frame(data)


def _frame(data: Mapping[str, Any]) -> Output:
    return Output(**{**data, "shape": tuple(data["shape"])})
