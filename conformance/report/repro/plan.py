"""What a repro is to show, and how far it must come for that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from conformance.axes.base import Needs, Size
from conformance.axes.models import model_config
from conformance.axes.pipelines import pipeline_config
from conformance.axes.source import FormatScript, Names, Source
from conformance.case import Case
from conformance.errors import UsageError
from conformance.report.repro.defect import Defect, Found, Raised
from conformance.report.repro.looks import Look, When, look_apart, look_at
from conformance.report.repro.recipes import config_of
from conformance.roundtrip.outcome import Stage

Value = TypeVar("Value")

WIDTH = 100
INDENT = " " * 8
PINNED = (
    "torch",
    "torchao",
    "diffusers",
    "huggingface_hub",
    "safetensors",
    "accelerate",
    "transformers",
    "numpy",
    "mslk",
    "fbgemm-gpu-genai",
)
"""What a script asks for, in the versions that were observed."""
SHARDS = {Size.TINY: "2KB", Size.SMALL: "1MB", Size.FULL: "2GB", Size.PIPELINE: "2KB"}
"""Small enough that the parts of a weight lie in different shards."""
REACHED = {
    Stage.QUANTIZE: When.QUANTIZED,
    Stage.SAVE: When.SAVED,
    Stage.RESAVE: When.RESAVED,
}
"""How far a script must come to see a failure; every other stage comes after loading."""


@dataclass(frozen=True)
class Repro:
    """What a script is to show."""

    case: Case
    versions: Mapping[str, str]
    """Distribution -> version, as observed."""
    defect: Defect | None = None
    """None where the case passes."""
    storage_only: str = ""
    """Why outputs are not compared; empty when they are."""
    note: str = ""
    """What else is to be said about the case."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """What else decides: the platform, the processor, a GPU."""
    apart: bool = False
    """Two scripts: one writes, the other reads."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The model config of the subject."""
        return model_config(self.case.subject)

    @property
    def names(self) -> Names:
        """What the lines of the axes are filled with."""
        return Names(
            model=self.case.subject.family.class_name,
            config=self.built.text if self.inline else "config",
            limit=SHARDS[self.case.subject.size],
            device=str(self.case.device),
            options=", filter_fn=None" if self.case.scheme.whole_model else "",
            pipeline=self.pipeline,
        )

    @property
    def pipeline(self) -> str:
        """The pipeline class, where the model is quantized, saved or loaded in one, or nothing."""
        pipeline = self.case.subject.pipeline
        in_one = self.case.route.whole or self.case.format.whole
        return pipeline.pipeline_class if pipeline is not None and in_one else ""

    @property
    def others(self) -> tuple[str, ...]:
        """The parts that a pipeline has beside the model: a script leaves them out."""
        pipeline = self.case.subject.pipeline
        return () if pipeline is None else tuple(pipeline_config(pipeline)["parts"])

    @cached_property
    def _config(self) -> tuple[Source, Mapping[str, Any]]:
        return config_of(self.case.scheme, self.versions.get("torchao", ""))

    @property
    def built(self) -> Source:
        """The expression that builds the quantization config."""
        return self._config[0]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Attributes that are set on the config."""
        return self._config[1]

    @property
    def inline(self) -> bool:
        """Is the config made where it is used?"""
        watched = isinstance(self.shown, Found) and self.shown.check == "caller_config"
        lines = self.route.text.replace("{config}", self.built.text).splitlines()
        return not (self.settings or watched or max(map(len, lines)) > WIDTH - len(INDENT))

    @property
    def shown(self) -> Raised | Found | None:
        """The failure or the finding; None where the case passes."""
        return None if self.defect is None else self.defect.shown

    @property
    def fresh(self) -> bool:
        """Must another process write than reads?"""
        late = self.look is None or self.look.when is When.LOADED
        return self.apart or (self.defect is not None and self.defect.fresh and late)

    @property
    def format(self) -> FormatScript:
        """The lines of the format.

        Raises:
            UsageError: it has none.
        """
        return there(self.case.format.script, f"format {self.case.format.name}")

    @property
    def route(self) -> Source:
        """The lines of the route.

        Raises:
            UsageError: it has none.
        """
        return there(self.case.route.script, f"route {self.case.route.name}")

    @property
    def look(self) -> Look | None:
        """What is compared; None where an exception is waited for."""
        if isinstance(self.shown, Found):
            return look_at(self.shown, self.case.scheme)
        return look_apart(self.calls) if self.apart and self.shown is None else None

    @property
    def reached(self) -> When:
        """How far the script goes."""
        if isinstance(self.shown, Raised):
            return REACHED.get(self.shown.stage, When.LOADED)
        return When.LOADED if self.look is None else self.look.when

    @property
    def calls(self) -> bool:
        """Does a passing case also compare outputs?"""
        return self.shown is None and self.runs

    @property
    def runs(self) -> bool:
        """Can the quantized model be called, as far as declarations tell?"""
        return not self.storage_only and self.case.device in self.case.scheme.kernel.devices

    @property
    def may_lack_kernel(self) -> bool:
        """Is it open whether a forward pass works on a machine?"""
        return self.case.scheme.kernel != Needs()


def there(value: Value | None, what: str) -> Value:
    """Return the value.

    Raises:
        UsageError: it is None.
    """
    if value is None:
        raise UsageError(f"the {what} has no lines for a repro; give its declaration a script")
    return value
