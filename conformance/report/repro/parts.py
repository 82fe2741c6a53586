"""The lines that a repro is put together from."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from conformance.axes.base import Device
from conformance.axes.pipelines import NEEDED
from conformance.axes.source import Import, InputsScript
from conformance.report.repro.defect import Raised
from conformance.report.repro.looks import When
from conformance.report.repro.plan import PINNED, WIDTH, Repro, there
from conformance.roundtrip.outcome import Stage

QUANTIZE = ("torchao.quantization", "quantize_")
PRINTED = ("torch", "torchao", "diffusers", "safetensors")
"""The distributions whose versions a script prints."""


@dataclass(frozen=True)
class Parts:
    """What stands at fixed places, as lines."""

    repro: Repro

    @property
    def python(self) -> str:
        """The minor release of Python that was observed."""
        return ".".join(self.repro.versions.get("python", "3.11").split(".")[:2])

    @property
    def requirements(self) -> list[str]:
        """What is asked for, as lines of TOML."""
        quoted = ", ".join(f'"{each}"' for each in requirements(self.repro))
        return wrap(f"dependencies = [{quoted}]", WIDTH - 2, subsequent_indent="  ")

    @property
    def model_config(self) -> list[str]:
        """The model config as keyword arguments; defaults of the class are left out."""
        defaults = self.repro.case.subject.family.defaults
        pairs = [
            f"{name}={value!r},"
            for name, value in self.repro.config.items()
            if name not in defaults or defaults[name] != value
        ]
        return _filled(pairs, WIDTH - 4)

    @property
    def imports(self) -> list[str]:
        """The import lines of what is imported first, `torch` aside."""
        writing = set() if self.repro.fresh else self._of_the_writer
        return import_lines({self._model} | self._pipeline | writing | self._of_the_reader)

    @property
    def _model(self) -> Import:
        return (self.repro.case.subject.family.module, self.repro.names.model)

    @property
    def _pipeline(self) -> set[Import]:
        return {("diffusers", self.repro.pipeline)} if self.repro.pipeline else set()

    @property
    def others(self) -> str:
        """The line that says which parts of a pipeline are left out; nothing for a model alone."""
        names = " ".join(self.repro.others)
        return f'OTHERS = dict.fromkeys("{names}".split())' if self.repro.pipeline else ""

    @property
    def writer_imports(self) -> list[str]:
        """The import lines of a function, or a script, that only writes."""
        model = {self._model} | self._pipeline if self.repro.apart else set()
        return import_lines(model | self._of_the_writer)

    @property
    def _of_the_writer(self) -> set[Import]:
        repro = self.repro
        saving = repro.format.imports if self.uses_disk else frozenset()
        return {*repro.built.imports, *repro.route.imports, *saving}

    @property
    def _of_the_reader(self) -> set[Import]:
        loads = self.repro.reached in (When.LOADED, When.RESAVED)
        loading = self.repro.format.load_imports if loads else frozenset()
        look = self.repro.look
        return {*loading, *self._of_the_twin, *(look.imports if look else ())}

    @property
    def _of_the_twin(self) -> set[Import]:
        return {*self.repro.built.imports, QUANTIZE} if self.twin else set()

    @property
    def uses_disk(self) -> bool:
        """Does the script get as far as saving?"""
        return self.repro.reached is not When.QUANTIZED

    @property
    def printing(self) -> str:
        """The line that prints versions."""
        names = ", ".join(f'"{name}"' for name in PRINTED if name in self.repro.versions)
        return f"print({{name: version(name) for name in ({names})}})"

    @property
    def builds(self) -> str:
        """The device and dtype that the model is moved to."""
        placed = "" if self.repro.case.device is Device.CPU else f'"{self.repro.case.device}", '
        return f"{placed}torch.bfloat16"

    @property
    def config_lines(self) -> list[str]:
        """The lines that build the quantization config; none where it is built on the spot."""
        repro = self.repro
        if repro.inline:
            return []
        settings = (f"config.{name} = {value!r}" for name, value in repro.settings.items())
        return [*broken(f"config = {repro.built.text}"), *settings]

    @property
    def quantize(self) -> str:
        """The lines that quantize `model`."""
        return self.repro.names.fill(self.repro.route.text)

    @property
    def save(self) -> str:
        """The lines that save `model`."""
        return self.repro.names.fill(self.repro.format.save)

    @property
    def alters(self) -> list[str]:
        """The lines that alter `model` before it is saved; none for most formats."""
        lines = self.repro.format.alters
        return [self.repro.names.fill(lines)] if lines else []

    @property
    def load(self) -> str:
        """The lines that load `loaded`, or fill it where it must be there."""
        return "\n".join((*self.twin, self.repro.names.fill(self.repro.format.load)))

    @property
    def twin(self) -> list[str]:
        """The lines that make another model, quantized alike, for loads that fill one."""
        repro = self.repro
        if not repro.case.format.refills:
            return []
        return [
            "torch.manual_seed(1)",
            f"loaded = {repro.names.model}(**CONFIG).to({self.builds}).eval()",
            *broken(f"quantize_(loaded, {repro.built.text}{repro.names.options})"),
        ]

    @property
    def again(self) -> str:
        """The lines that save what was loaded."""
        return re.sub(r"\bdirectory\b", "again", re.sub(r"\bmodel\b", "loaded", self.save))

    @property
    def calls(self) -> bool:
        """Is the model called?"""
        repro = self.repro
        called = repro.look is not None and "output(" in repro.look.seen
        raised = isinstance(repro.shown, Raised) and repro.shown.stage is Stage.OUTPUT
        return repro.calls or raised or called or self.calls_at_once

    @property
    def calls_at_once(self) -> bool:
        """Is it called before it is saved? To the suite, that is a part of quantizing."""
        shown = self.repro.shown
        failed = isinstance(shown, Raised) and shown.stage is Stage.QUANTIZE
        return failed and self.repro.runs

    @property
    def inputs(self) -> tuple[Sequence[str], str]:
        """Lines before a call, and the lines of its keyword arguments.

        Raises:
            UsageError: the family has none.
        """
        family = self.repro.case.subject.family
        script: InputsScript = there(family.script, f"family {family.name}")
        return script(self.repro.config)


def requirements(repro: Repro) -> list[str]:
    """Return what the script needs, in the versions that were observed.

    A label of a build, as in `2.13.0+cpu`, is left out: no index has it.
    """
    pinned = [
        f"{name}=={repro.versions[name].partition('+')[0]}"
        for name in PINNED
        if name in repro.versions
    ]
    needed = [
        *repro.case.scheme.quantizing.packages,
        *repro.format.packages,
        *([NEEDED] if repro.pipeline else []),
    ]
    more = [each for each in needed if each not in repro.versions]
    return [*pinned, *more]


def import_lines(imports: Iterable[Import]) -> list[str]:
    """Return sorted import lines, a line a module; long ones in parentheses."""
    by_module: dict[str, set[str]] = {}
    for module, name in imports:
        by_module.setdefault(module, set()).add(name)
    return [line for module in sorted(by_module) for line in _import(module, by_module[module])]


def _import(module: str, names: Iterable[str]) -> list[str]:
    ordered = sorted(names, key=lambda name: (name[0].islower(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH - 4:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in ordered), ")"]


def _filled(words: Iterable[str], width: int) -> list[str]:
    """Fill lines with words, which may hold spaces."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def broken(line: str) -> list[str]:
    """Break a long call behind its opening bracket, or put a long value into brackets."""
    if len(line) <= WIDTH - 8:
        return [line]
    head, _, inside = line.partition("(")
    if '"' in head or "'" in head:  # the bracket is part of a text
        name, _, inside = line.partition(" = ")
        head, inside = f"{name} = ", f"{inside})"
    inner = _filled(WORD.findall(inside[:-1]), WIDTH - 12)
    return [f"{head}(", *(f"    {each}" for each in inner), ")"]


WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'])+""")
"""What stands between blanks; a text in quotes is not broken."""
