"""Load somebody's own checkpoint: a model of diffusers, or a plain state dict.

A pickle is read with `weights_only` and nothing else. A class or a function that is no part of
diffusers is imported only when the command names it, never because a file does.
"""

import importlib
import importlib.util
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from conformance.axes import registry
from conformance.axes.base import Device, Family, Size, Subject
from conformance.axes.files import safetensors_header
from conformance.errors import UsageError
from conformance.roundtrip.checkpoint import SAFETENSORS, Asked, Checkpoint
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.observe import Seen, observe_tensors, tensor_facts
from conformance.roundtrip.plain import unflattened
from conformance.roundtrip.record import Source

BFLOAT16 = "bfloat16"
STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": BFLOAT16}
"""The dtypes that a model can be asked for, by their names in safetensors files."""
ENTRY = "entry"

Inputs = Callable[[Mapping[str, Any], int], Mapping[str, Any]]
"""`(model config, seed) -> keyword arguments of forward`."""


def families() -> dict[str, Family]:
    """Return the families of the suite by name."""
    return {each.family.name: each.family for each in registry.subjects().values()}


def family_of(model: str) -> Family | None:
    """Return the family whose class this is."""
    return next((each for each in families().values() if each.model_class == model), None)


def tiny(family: Family) -> Subject:
    """Return the family's tiny subject, whose unquantized model tells how a torch computes."""
    subjects = registry.subjects().values()
    return next(each for each in subjects if (each.family, each.size) == (family, Size.TINY))


def class_name(asked: Asked, config: Mapping[str, Any]) -> str:
    """Return the name of the class: the one that was asked for, or that of `config.json`."""
    named = families().get(asked.model)
    return named.model_class if named else asked.model or str(config["_class_name"])


def model_class(name: str) -> Any:
    """Import the class.

    Raises:
        ImportError: the installed diffusers does not have it.
        UsageError: it is no `ModelMixin`, or cannot be imported.
    """
    import diffusers

    found = imported(name, "--class") if ":" in name else getattr(diffusers, name, None)
    if found is None:
        raise ImportError(f"diffusers {diffusers.__version__} has no {name}")
    if not (isinstance(found, type) and issubclass(found, diffusers.ModelMixin)):
        raise UsageError(f"{name} is no ModelMixin of diffusers; name one with --class")
    return found


def imported(text: str, option: str) -> Any:
    """Import what `module:name` or `file.py:name` names.

    Raises:
        UsageError: it cannot be imported.
    """
    place, _, name = text.rpartition(":")
    try:
        return getattr(_module(place), name)
    except Exception as error:
        raise UsageError(
            f"{option} {text}: {type(error).__name__}: {error}; "
            "give module:name, or file.py:name where it is not installed"
        ) from error


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    if spec is None or spec.loader is None:
        raise ImportError(place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # what dataclasses and pickles look into
    spec.loader.exec_module(module)
    return module


def inputs_of(name: str) -> Inputs:
    """Return what makes the inputs: that of a family, or what a command named.

    Raises:
        UsageError: there is none of this name.
    """
    if ":" in name:
        made: Inputs = imported(name, "--inputs")
        return made
    try:
        return families()[name].inputs
    except KeyError:
        raise UsageError(f"no family {name!r} of inputs; record the checkpoint again") from None


def in_dtype(inputs: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Return a family's inputs with those of bfloat16, which follow the model, in its dtype."""
    to = getattr(torch, dtype)
    return {
        name: value.to(to)
        if isinstance(value, torch.Tensor) and value.dtype is torch.bfloat16
        else value
        for name, value in inputs.items()
    }


def load_model(name: str, checkpoint: Checkpoint, dtype: str) -> Any:
    """Load a model as the published recipe does, in evaluation mode on CPU."""
    return (
        model_class(name)
        .from_pretrained(
            checkpoint.path,
            torch_dtype=getattr(torch, dtype),
            use_safetensors=checkpoint.weights[0].suffix in SAFETENSORS,
            local_files_only=True,
        )
        .eval()
    )


def main_dtype(checkpoint: Checkpoint) -> str:
    """Return the dtype of most floating point elements outside of quantized weights' parts.

    A loader of diffusers that is not asked for one makes everything float32.
    """
    stored: Counter[str] = Counter()
    for path in checkpoint.weights:
        stored.update(_of_safetensors(path) if path.suffix in SAFETENSORS else _of_pickle(path))
    return max(stored, key=lambda each: stored[each], default=BFLOAT16)


def _of_safetensors(path: Path) -> dict[str, int]:
    header, _ = safetensors_header(path)
    quantized = [key for key in header.pop("__metadata__", {}) if "." in key]
    # torchao writes `module._weight_scale`, and wrote `module.weight:scale`.
    parts = tuple(
        prefix
        for module, _, weight in (key.rpartition(".") for key in quantized)
        for prefix in (f"{module}._{weight}_", f"{module}.{weight}:")
    )
    found: Counter[str] = Counter()
    for name, entry in header.items():
        if entry["dtype"] in STORED and not name.startswith(parts):
            found[STORED[entry["dtype"]]] += prod(entry["shape"])
    return found


def _of_pickle(path: Path) -> dict[str, int]:
    found: Counter[str] = Counter()
    try:
        state = flat(unpickled(path))
    except Exception:  # noqa: BLE001 - the loader will say it at its stage
        return found
    for tensor in state.values():
        name = str(tensor.dtype).removeprefix("torch.")
        if name in STORED.values():
            found[name] += tensor.numel()
    return found


def unpickled(path: Path) -> Any:
    """Read a file of `torch.save` with `weights_only`, its tensors left on disk where they can."""
    import torchao  # noqa: F401 - it allows its classes to be unpickled

    mapped = zipfile.is_zipfile(path)
    return torch.load(path, weights_only=True, mmap=mapped, map_location="cpu")


def flat(state: Any, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return the tensors inside dictionaries and lists by dotted names; what is no tensor is left.

    Raises:
        ValueError: two of them would have one name.
    """
    found: dict[str, torch.Tensor] = {}
    for key, value in _entries(state):
        name = f"{prefix}.{key}" if prefix else str(key)
        inner = {name: value} if isinstance(value, torch.Tensor) else flat(value, name)
        if found.keys() & inner.keys():
            raise ValueError(f"two tensors are called {next(iter(found.keys() & inner.keys()))}")
        found |= inner
    return found


def _entries(state: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(state, Mapping):
        yield from state.items()
    elif isinstance(state, list | tuple):
        yield from enumerate(state)


class Entries:
    """The tensors of a plain state dict: those of a pickle on disk, mapped; the others to come."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Open the files, and take apart what torchao flattened into them."""
        self._streamed: list[Path] = []
        self._held: dict[str, torch.Tensor] = {}
        if checkpoint.weights[0].suffix not in SAFETENSORS:
            for path in checkpoint.weights:
                self._held |= flat(unpickled(path))
        elif _flattened(checkpoint.weights):
            self._held = flat(unflattened(list(checkpoint.weights), Device.CPU))
        else:
            self._streamed = list(checkpoint.weights)

    def facts(self, seen: Seen = lambda _: None) -> ModelFacts:
        """Read the bits; of safetensors files one tensor is in memory at a time."""
        held = observe_tensors({key: (ENTRY, each) for key, each in self._held.items()}, seen)
        streamed = {}
        for key, tensor in self._one_by_one():
            streamed[key] = tensor_facts(ENTRY, tensor)
            seen(streamed[key])
        # Files of safetensors cannot share memory between their tensors.
        return ModelFacts({**held.tensors, **streamed}, held.aliases)

    def _one_by_one(self) -> Iterator[tuple[str, torch.Tensor]]:
        from safetensors import safe_open

        for path in self._streamed:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118
                    yield key, file.get_tensor(key)


def _flattened(paths: tuple[Path, ...]) -> bool:
    """Did torchao write which tensors belong together?"""
    headers = (safetensors_header(path)[0].get("__metadata__", {}) for path in paths)
    return any("tensor_names" in metadata for metadata in headers)


def agreed(asked: Asked, source: Source) -> None:
    """See that a record is read in the way in which it was made.

    Raises:
        UsageError: it was made with something that the command must name again, or with another.
    """
    for option, now, then in (
        ("--class", asked.model, source.model),
        ("--inputs", asked.inputs, source.inputs),
    ):
        named = families()[now].model_class if option == "--class" and now in families() else now
        if ":" in then and not now:
            raise UsageError(
                f"it was recorded with {option} {then}, and what a file names is not imported; "
                f"give {option} again"
            )
        if now and shown(named) != then:
            raise UsageError(f"it was recorded with {option} {then or 'nothing'}, not with {now}")


def shown(name: str) -> str:
    """Return how a record names a class or function: of a file without its directory."""
    place, colon, what = name.rpartition(":")
    return f"{Path(place).name}{colon}{what}" if place.endswith(".py") else name
