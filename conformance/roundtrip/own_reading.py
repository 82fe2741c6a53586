"""One reading of somebody's own checkpoint: a single model in memory, and what is asked of it."""

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from conformance.axes import models
from conformance.case import all_cases
from conformance.environment import hardware
from conformance.errors import UsageError
from conformance.roundtrip import checks
from conformance.roundtrip.checkpoint import NOT_ASKED, Asked, Checkpoint
from conformance.roundtrip.evidence import Evidence, Side
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.ladder import BrokenError, HarnessError, Ladder, NoResultError
from conformance.roundtrip.meter import Meter
from conformance.roundtrip.observe import observe
from conformance.roundtrip.outcome import Stage
from conformance.roundtrip.own_load import (
    BFLOAT16,
    STORED,
    Entries,
    agreed,
    class_name,
    families,
    family_of,
    in_dtype,
    inputs_of,
    load_model,
    main_dtype,
    model_class,
    shown,
    tiny,
)
from conformance.roundtrip.record import Output, Record, Source
from conformance.roundtrip.run import Log
from conformance.roundtrip.settle import condensed, excused, of_output, settled
from conformance.roundtrip.verify import on_meta, reference_output
from conformance.roundtrip.workshop import output_facts, twice

UNKNOWN_INPUTS = "no inputs are known for {}; give --inputs module:function"
STATE_DICT = "a plain state dict computes nothing"


@dataclass
class Reading:
    """How a checkpoint is read, and what was read once it was."""

    checkpoint: Checkpoint
    source: Source
    model: str
    """The class, as it is imported; empty for a plain state dict."""
    inputs: str
    """What makes the inputs, as it is imported; empty for nothing."""
    seed: int = 0
    subject: str = ""
    """Whose unquantized model tells how a torch computes; empty for nobody's."""
    loaded: Any = None

    @classmethod
    def to_record(cls, asked: Asked, checkpoint: Checkpoint) -> "Reading":
        """Decide how a checkpoint is read.

        Raises:
            UsageError: what was asked for cannot be.
        """
        if checkpoint.config is None:
            _refuse_options(asked, checkpoint)
            return cls(checkpoint, _source("", "", "", STATE_DICT), "", "")
        model = class_name(asked, checkpoint.config)
        family = family_of(model)
        inputs = asked.inputs or (family.name if family else "")
        silent = "" if inputs else UNKNOWN_INPUTS.format(model)
        if not asked.outputs:
            inputs, silent = "", NOT_ASKED
        if asked.dtype not in ("", *STORED.values()):
            raise UsageError(f"--dtype {asked.dtype}: give one of {', '.join(STORED.values())}")
        dtype = asked.dtype or main_dtype(checkpoint)
        source = _source(shown(model), dtype, shown(inputs), silent)
        subject = tiny(family).name if family else ""
        return cls(checkpoint, source, model, inputs, subject=subject)

    @classmethod
    def to_verify(cls, asked: Asked, checkpoint: Checkpoint, wanted: Record) -> "Reading":
        """Take from a record how the checkpoint was read.

        Raises:
            UsageError: it was read otherwise than is asked for now.
        """
        source = wanted.source or _of_the_suite(checkpoint, wanted)
        agreed(asked, source)
        if bool(source.model) != (checkpoint.config is not None):
            raise UsageError(f"{checkpoint.path} is not what was recorded: {source.model or 'no'}")
        family = family_of(source.model)
        case = all_cases().get(wanted.case)
        subject = case.subject.name if case else tiny(family).name if family else ""
        model, inputs = asked.model if ":" in asked.model else source.model, asked.inputs
        if not asked.outputs:
            source = replace(source, silent=NOT_ASKED)
        return cls(checkpoint, source, model, inputs or source.inputs, wanted.seed, subject)

    def load(self, ladder: Ladder, meter: Meter) -> None:
        """Load it.

        Raises:
            BrokenError: the libraries under test failed.
            UsageError: the class or the inputs cannot be imported.
        """
        count = meter.begin("loading")
        if ":" in self.model:
            model_class(self.model)
        if self.inputs:
            inputs_of(self.inputs)
        with ladder.stage(Stage.LOAD):
            if self.model:
                self.loaded = load_model(self.model, self.checkpoint, self.source.dtype)
            else:
                self.loaded = Entries(self.checkpoint)
        count(self.checkpoint.bytes)

    def facts(self, ladder: Ladder, meter: Meter) -> ModelFacts:
        """Return the facts of what was loaded, for a record.

        Raises:
            NoResultError: there is nothing that could be recorded.
        """
        with ladder.stage(Stage.STRUCTURE):
            facts = self._observed(meter)
            if not facts.tensors:
                raise HarnessError("there is no tensor in it")
            if on_meta(facts):
                raise HarnessError("it loads with tensors on the meta device, without their data")
        return facts

    def _observed(self, meter: Meter) -> ModelFacts:
        count = meter.begin("comparing bits")
        if self.model:
            return observe(self.loaded, lambda facts: count(facts.bytes))
        facts: ModelFacts = self.loaded.facts(lambda facts: count(facts.bytes))
        return facts

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        config = dict(self.loaded.config)
        made = dict(inputs_of(self.inputs)(config, self.seed))
        return in_dtype(made, self.source.dtype) if self.inputs in families() else made

    def first_output(self, ladder: Ladder, meter: Meter) -> tuple[Output | None, str]:
        """Return the output, or why there is none to compare with later."""
        if self.source.silent:
            return None, self.source.silent
        meter.begin("calling the model")
        try:
            with ladder.stage(Stage.OUTPUT):
                return output_facts(twice(self.loaded, self._arguments)), ""
        except BrokenError as error:
            failure = error.failure
            return None, f"it cannot be called here: {failure.type}: {failure.message}"
        except NoResultError as error:
            return None, error.no_result.reason

    def judged(self, log: Log, wanted: Record, meter: Meter) -> None:
        """Ask the checks, and settle what a difference means between releases.

        Raises:
            BrokenError, NoResultError: what was loaded cannot be looked at or called.
        """
        with log.ladder.stage(Stage.STRUCTURE):
            facts = self._observed(meter)
        evidence = Evidence(case=log.case, record=wanted, reloaded=facts)
        broken: BrokenError | NoResultError | None = None
        if wanted.output is not None and not self.source.silent and not on_meta(facts):
            meter.begin("calling the model")
            try:
                with log.ladder.stage(Stage.OUTPUT):
                    evidence = replace(evidence, output=self._output(wanted))
            except (BrokenError, NoResultError) as error:
                broken = error  # what the checks see without an output may be the cause
        found = checks.ask(evidence, Side.READER)
        if any(map(of_output, found)) and not self._computes_alike(wanted):
            found = [excused(each) for each in found]
        judged = evidence.output is not None and broken is None
        settled_ones = settled(found, wanted.facts, facts, output_judged=judged)
        log.findings += condensed(settled_ones)
        if broken is not None:
            raise broken

    def _output(self, wanted: Record) -> Output:
        output = output_facts(models.forward(self.loaded, self._arguments))
        # A difference counts only if the model agrees with itself.
        alike = output == wanted.output
        return output if alike else output_facts(twice(self.loaded, self._arguments))

    def _computes_alike(self, wanted: Record) -> bool:
        """Does an unquantized model of the family give here what it gave then?"""
        return wanted.reference is None or self.reference(wanted.seed) == wanted.reference

    def reference(self, seed: int) -> Output | None:
        """Return the output of the unquantized model that stands for how a torch computes."""
        return reference_output(self.subject, "cpu", seed) if self.subject else None


def _source(model: str, dtype: str, inputs: str, silent: str) -> Source:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Source(model, dtype, inputs, silent, {}, hardware(), now)


def _of_the_suite(checkpoint: Checkpoint, wanted: Record) -> Source:
    """Return how the suite reads what it wrote itself.

    Raises:
        UsageError: it is not read by a config.
    """
    if checkpoint.config is None:
        raise UsageError(
            f"{wanted.case} is a state dict that the suite wrote; "
            "`conformance golden verify` and `conformance exchange` read those"
        )
    model = str(checkpoint.config["_class_name"])
    family = family_of(model)
    silent = "" if wanted.output else "the writer could not call the model"
    return _source(model, BFLOAT16, family.name if family else "", silent)


def _refuse_options(asked: Asked, checkpoint: Checkpoint) -> None:
    options = {"--class": asked.model, "--inputs": asked.inputs, "--dtype": asked.dtype}
    for option, value in options.items():
        if value:
            raise UsageError(
                f"{option} is for a model, and {checkpoint.path} is a plain state dict: "
                "it has no config.json that names a class of diffusers"
            )
