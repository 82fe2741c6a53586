"""The lines that a repro is put together from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import wrap

from conformance.axes.base import Device
from conformance.axes.source import Import
from conformance.report.repro.defect import Raised
from conformance.report.repro.looks import When
from conformance.report.repro.plan import PINNED, WIDTH, Repro, there
from conformance.roundtrip.outcome import Stage


@dataclass(frozen=True)
class Parts:
    """What the template is filled with."""

    repro: Repro

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that the comparison needs, each once."""
        repro = self.repro
        own = repro.look.functions if repro.look else ()
        return tuple(dict.fromkeys(own))

    @property
    def text(self) -> str:
        """All lines that may name something, to know what they need."""
        look = self.repro.look
        expressions = (look.wanted, look.seen) if look else ()
        return "\n".join((*self.functions, *expressions, self.load, self.quantize))

    @property
    def quantize(self) -> str:
        """The lines that quantize `model`."""
        names, repro = self.repro.names, self.repro
        lines = names.fill(repro.route.text)
        if repro.case.scheme.whole_model:
            lines = lines.replace("quantize_(model, ", "quantize_(model, filter_fn=None, config=")
        return "\n".join((*self._config_lines(), lines))

    def _config_lines(self) -> Iterable[str]:
        if not self.repro.inline:
            yield from _broken(f"config = {self.repro.built.text}")
            for name, value in self.repro.settings.items():
                yield f"config.{name} = {value!r}"

    @property
    def save(self) -> str:
        """The lines that save `model`."""
        return self.repro.names.fill(self.repro.format.save)

    @property
    def load(self) -> str:
        """The lines that load `loaded`."""
        return self.repro.names.fill(self.repro.format.load)

    @property
    def again(self) -> str:
        """The lines that save what was loaded."""
        return re.sub(r"\bdirectory\b", "again", re.sub(r"\bmodel\b", "loaded", self.save))

    @property
    def inputs(self) -> str:
        """The lines that return the inputs; empty where the model is not called."""
        repro = self.repro
        raised = isinstance(repro.shown, Raised) and repro.shown.stage is Stage.OUTPUT
        if not (repro.calls or raised or "output(" in self.text):
            return ""
        written = there(repro.case.subject.family.script, f"family of {repro.case.subject.name}")
        lines: str = written(repro.config)
        return lines

    @property
    def own_imports(self) -> list[str]:
        """The import lines of the standard library."""
        text = self.text
        wanted = {"sys", "traceback"} | (self.repro.look.modules if self.repro.look else set())
        if self.inputs or "bits(" in text:
            wanted |= {"hashlib"} if "bits(" in text or self.repro.calls else set()
        wanted |= {"re"} if isinstance(self.repro.shown, Raised) else set()
        wanted |= {"tempfile"} if self.uses_disk or "tempfile" in self.quantize else set()
        wanted |= {"json", "subprocess"} if self.repro.fresh else set()
        if self.repro.fresh and self.repro.look is None:
            wanted -= {"json"}
        paths = ["from pathlib import Path"] if self.uses_disk else []
        lines = [f"import {name}" for name in sorted(wanted)]
        return [*lines, "from importlib.metadata import version", *paths]

    @property
    def uses_disk(self) -> bool:
        """Does the script get as far as saving?"""
        return self.repro.reached is not When.QUANTIZED

    @property
    def imports(self) -> list[str]:
        """The import lines of everything else that is imported first."""
        model = ("diffusers", self.repro.names.model)
        writing = set() if self.repro.fresh else self._of_the_writer
        found = import_lines({model} | writing | self._of_the_reader)
        return ["import safetensors", *found] if "safetensors.d" in self.text else found

    @property
    def writer_imports(self) -> list[str]:
        """The import lines of the writer alone."""
        return import_lines(self._of_the_writer)

    @property
    def _of_the_writer(self) -> set[Import]:
        repro = self.repro
        saving = repro.format.imports if self.uses_disk else frozenset()
        return {*repro.built.imports, *repro.route.imports, *saving}

    @property
    def _of_the_reader(self) -> set[Import]:
        loads = self.repro.reached in (When.LOADED, When.RESAVED)
        return set(self.repro.format.load_imports) if loads else set()

    @property
    def config_lines(self) -> list[str]:
        """The model config, as lines of a dictionary."""
        pairs = (f"{name}={value!r}," for name, value in self.repro.config.items())
        return wrap(" ".join(pairs), WIDTH - 4, break_long_words=False, break_on_hyphens=False)

    @property
    def builds(self) -> str:
        """The device and dtype that the model is moved to."""
        placed = "" if self.repro.case.device is Device.CPU else f'"{self.repro.case.device}", '
        return f"{placed}torch.bfloat16"

    @property
    def requirements(self) -> list[str]:
        """The lines of a TOML list of requirements."""
        return wrap(", ".join(f'"{each}"' for each in requirements(self.repro)), WIDTH - 4)

    @property
    def python(self) -> str:
        """The minor release of Python that was observed."""
        found = self.repro.versions.get("python", "3.11")
        return ".".join(found.split(".")[:2])

    @property
    def printed(self) -> str:
        """The distributions whose versions are printed, as Python writes them."""
        return str(tuple(name for name in PINNED[:6] if name in self.repro.versions)).replace(
            "'", '"'
        )


def requirements(repro: Repro) -> list[str]:
    """Return what the script needs, in the versions that were observed.

    A label of a build, as in `2.13.0+cpu`, is left out: no index has it.
    """
    pinned = [
        f"{name}=={repro.versions[name].partition('+')[0]}"
        for name in PINNED
        if name in repro.versions
    ]
    more = [each for each in repro.case.scheme.quantizing.packages if each not in repro.versions]
    return [*pinned, *more]


def import_lines(imports: Iterable[Import]) -> list[str]:
    """Return sorted import lines, a line a module; long ones in parentheses."""
    by_module: dict[str, set[str]] = {}
    for module, name in imports:
        by_module.setdefault(module, set()).add(name)
    return [line for module in sorted(by_module) for line in _import(module, by_module[module])]


def _import(module: str, names: Iterable[str]) -> Iterable[str]:
    line = f"from {module} import {', '.join(sorted(names, key=_as_ruff_sorts))}"
    if len(line) <= WIDTH - 4:
        yield line
    else:
        yield f"from {module} import ("
        yield from (f"    {name}," for name in sorted(names, key=_as_ruff_sorts))
        yield ")"


def _as_ruff_sorts(name: str) -> tuple[bool, str]:
    return (name[0].islower(), name)


def _broken(line: str) -> list[str]:
    """Break a long call after its opening bracket."""
    if len(line) <= WIDTH - 8:
        return [line]
    head, _, rest = line.partition("(")
    inside = wrap(rest[:-1], WIDTH - 12, break_long_words=False, break_on_hyphens=False)
    return [f"{head}(", *(f"    {each}" for each in inside), ")"]
