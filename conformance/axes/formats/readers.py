"""One checkpoint of `save_pretrained`, read in the ways that people read: `read-<kind>-<how>`.

The files are those of the formats `pickle` and `safetensors`; only the loading differs from the
recipe (`torch_dtype=torch.bfloat16`, the right `use_safetensors`).
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes import registry
from conformance.axes.base import Device, Format
from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import extra, from_pretrained, pair, recipe
from conformance.axes.source import FormatScript, Import, source

SCHEMES = ("float8wo", "int8dq", "int8wo", "intx4", "nf4")
"""Those of which something can be read: the opaque int4 cannot, in a fresh process."""


@dataclass(frozen=True)
class Asked:
    """What a reader is asked for: the arguments of a format's load, and of `from_pretrained`."""

    model_class: Any
    config: Mapping[str, Any]
    directory: Path
    device: Device
    options: Mapping[str, Any]

    def load(self, **more: Any) -> Any:
        """Load with the options, and with these beside them or in their place."""
        options = {**self.options, **more}
        return from_pretrained(
            self.model_class, self.config, self.directory, self.device, options=options
        )


def by_options(asked: Asked) -> Any:
    """Load with these arguments and do nothing else."""
    return asked.load()


def with_another_quantization(asked: Asked, *, skipped: list[str] | None = None) -> Any:
    """Ask for float8 weights, whatever is in the files."""
    from diffusers import TorchAoConfig
    from torchao.quantization import Float8WeightOnlyConfig

    other = TorchAoConfig(Float8WeightOnlyConfig(), modules_to_not_convert=skipped)
    return asked.load(quantization_config=other)


def on_disk(asked: Asked) -> Any:
    """Leave the output layer on disk until it is called."""
    places = {"": str(asked.device), "proj_out": "disk"}
    return asked.load(device_map=places, offload_folder=_folder(asked))


def _folder(asked: Asked) -> str:
    return tempfile.mkdtemp(prefix="offload-", dir=asked.directory.parent)


@contextmanager
def _set(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def in_parallel(asked: Asked) -> Any:
    """Load shards at once, as with `HF_ENABLE_PARALLEL_LOADING=1`, which is read at import."""
    from diffusers.models import modeling_utils

    with _set(modeling_utils, "HF_ENABLE_PARALLEL_LOADING", value=True):
        return asked.load()


def keeping_fp32(asked: Asked) -> Any:
    """Load a class that keeps its output layer in float32."""
    with _set(asked.model_class, "_keep_in_fp32_modules", ["proj_out"]):
        return asked.load()


def group_offloaded(asked: Asked, *, to_disk: bool = False) -> Any:
    """Load, then let groups of layers come and go, perhaps to files."""
    import torch

    model = asked.load()
    place = {"offload_to_disk_path": _folder(asked)} if to_disk else {}
    model.enable_group_offload(torch.device(str(asked.device)), offload_type="leaf_level", **place)
    return model


def trained(asked: Asked) -> Any:
    """Train one step on one model, which must change it, and return another one untouched."""
    import torch

    pupil, model = asked.load(), asked.load()
    named = {each.family.model_class: each.family for each in registry.subjects().values()}
    inputs = named[asked.model_class.__name__].inputs(asked.config, 0)
    biases = [value for name, value in pupil.named_parameters() if name.endswith(".bias")]
    before = [value.detach().clone() for value in biases]
    optimizer = torch.optim.SGD(biases, lr=1.0)
    with torch.enable_grad():
        pupil(**inputs, return_dict=False)[0].float().pow(2).sum().backward()
    optimizer.step()
    if all(map(torch.equal, before, biases)):
        raise RuntimeError("a step of training changed no bias")
    return model


@dataclass(frozen=True)
class Lines:
    """How a way stands in a repro: around the call of `from_pretrained`, and within it."""

    before: str = ""
    arguments: tuple[str, ...] = ()
    after: str = ""
    imports: frozenset[Import] = frozenset()


@dataclass(frozen=True)
class Way:
    """One way to read."""

    name: str
    what: str
    """What differs from the recipe."""
    load: Callable[[Asked], Any] = by_options
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments beside those of the recipe, or in their place."""
    without: tuple[str, ...] = ()
    """Arguments of the recipe that are left out."""
    sharded: bool = False
    lines: Lines | None = Lines()
    """None for what a repro does not show."""
    schemes: tuple[str, ...] = SCHEMES


def _other(*more: str) -> Lines:
    """Return the lines of `with_another_quantization`."""
    config = ",\n        ".join(("Float8WeightOnlyConfig()", *more))
    inside = f"\n        {config},\n    " if more else config
    return Lines(
        arguments=(f"quantization_config=TorchAoConfig({inside})",),
        imports=frozenset(
            {("diffusers", "TorchAoConfig"), ("torchao.quantization", "Float8WeightOnlyConfig")}
        ),
    )


SPLIT = {"": "cpu", "transformer_blocks": "cpu", "proj_out": "cpu"}
WAYS = (
    Way("no-dtype", "`torch_dtype` omitted", without=("torch_dtype",)),
    Way("float16", "`torch_dtype=torch.float16`", options={"torch_dtype": "float16"}),
    Way("float32", "`torch_dtype=torch.float32`", options={"torch_dtype": "float32"}),
    Way("any-file", "`use_safetensors` omitted", without=("use_safetensors",)),
    Way("memory", "`low_cpu_mem_usage=False`", options={"low_cpu_mem_usage": False}),
    Way("map-cpu", '`device_map="cpu"`', options={"device_map": "cpu"}),
    Way("map-root", '`device_map={"": "cpu"}`', options={"device_map": {"": "cpu"}}),
    Way("map-auto", '`device_map="auto"`', options={"device_map": "auto"}),
    Way("map-split", "a `device_map` of several parts", options={"device_map": SPLIT}),
    Way(
        "map-disk",
        'a `device_map` with `"disk"`',
        on_disk,
        lines=Lines(
            arguments=(
                'device_map={{"": "{device}", "proj_out": "disk"}}',
                'offload_folder=directory / "offload"',
            )
        ),
    ),
    Way("no-mmap", "`disable_mmap=True`", options={"disable_mmap": True}),
    Way(
        "parallel",
        "`HF_ENABLE_PARALLEL_LOADING=1`, sharded",
        in_parallel,
        sharded=True,
        lines=Lines(
            before="modeling_utils.HF_ENABLE_PARALLEL_LOADING = True\n",
            imports=frozenset({("diffusers.models", "modeling_utils")}),
        ),
    ),
    Way(
        "fp32-kept",
        "a class with `_keep_in_fp32_modules`",
        keeping_fp32,
        lines=Lines(before='{model}._keep_in_fp32_modules = ["proj_out"]\n'),
    ),
    Way(
        "other-config",
        "another `quantization_config`",
        with_another_quantization,
        lines=_other(),
    ),
    Way(
        "skipped-module",
        "another `quantization_config` with `modules_to_not_convert`",
        partial(with_another_quantization, skipped=["proj_out"]),
        lines=_other('modules_to_not_convert=["proj_out"]'),
    ),
    Way(
        "group-offload",
        "`enable_group_offload` afterwards",
        group_offloaded,
        lines=Lines(
            after='\nloaded.enable_group_offload(torch.device("{device}"), '
            'offload_type="leaf_level")'
        ),
    ),
    Way(
        "group-offload-disk",
        "`enable_group_offload(offload_to_disk_path=...)` afterwards",
        partial(group_offloaded, to_disk=True),
        schemes=SCHEMES[:-1],  # NF4 comes back in bf16, and what lies on disk nobody looks at
        lines=Lines(
            after='\nloaded.enable_group_offload(\n    torch.device("{device}"),\n'
            '    offload_type="leaf_level",\n'
            '    offload_to_disk_path=str(directory / "offload"),\n)'
        ),
    ),
    Way("trained", "one step of training on a second copy", trained, lines=None),
)


def _format(way: Way, *, safetensors: bool) -> Format:
    single, sharded = pair(
        "safetensors" if safetensors else "pickle",
        "",
        read_safetensors if safetensors else read_torch,
        safetensors=safetensors,
        options={} if safetensors else {"safe_serialization": False},
    )
    written = sharded if way.sharded else single
    options = {**recipe(safetensors=safetensors), **way.options}
    options = {name: value for name, value in options.items() if name not in way.without}
    # NF4 is refused in safetensors.
    schemes = tuple(each for each in way.schemes if not (safetensors and each == "nf4"))
    return extra(_read(written, way, options), schemes)


def _read(written: Format, way: Way, options: Mapping[str, Any]) -> Format:
    def load(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
        return way.load(Asked(model_class, config, directory, device, options))

    return replace(
        written,
        name=f"read-{written.name.removesuffix('-sharded')}-{way.name}",
        title=f"`{written.name}`, read with {way.what}",
        load=load,
        script=None if way.lines is None else _script(written, way.lines, options),
    )


def _script(written: Format, lines: Lines, options: Mapping[str, Any]) -> FormatScript:
    saving = written.script.save if written.script else ""
    given = [f"{name}={_written(name, value)}" for name, value in options.items()]
    arguments = ",\n    ".join(("directory", *given, *lines.arguments))
    mapped = any(each.startswith("device_map=") for each in (*given, *lines.arguments))
    placed = "" if mapped else "{placed}"
    return FormatScript(
        save=saving,
        load=f"{lines.before}loaded = {{model}}.from_pretrained(\n    {arguments}{placed}\n)"
        f"{lines.after}",
        load_imports=lines.imports,
    )


def _written(name: str, value: Any) -> str:
    """Return an argument as lines of a script hold it, where a brace stands for a name."""
    if name == "torch_dtype":
        return f"torch.{value}"
    return source(value).text.replace("{", "{{").replace("}", "}}")


FORMATS = tuple(
    _format(way, safetensors=safetensors) for safetensors in (False, True) for way in WAYS
)
