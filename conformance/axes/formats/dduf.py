"""DDUF: huggingface_hub packs a folder of a pipeline into one archive.

diffusers reads DDUF no longer, so a reader unpacks the archive with `read_dduf_file` and loads the
model from the folder.
"""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from conformance.axes.base import Device, Format
from conformance.axes.files import Contents, read_safetensors, readable
from conformance.axes.pretrained import REPRESENTATIVE, SINGLE, from_pretrained, recipe
from conformance.axes.source import FormatScript

NAME = "pipeline.dduf"
PART = "transformer"
HUB = "huggingface_hub"


def save(
    model: Any, directory: Path, shard_limit: int, *, options: Mapping[str, Any], sharded: bool
) -> None:
    """Write the folder of a pipeline with nothing but the model, and export it."""
    from huggingface_hub import export_folder_as_dduf

    limit = shard_limit if sharded else SINGLE
    with tempfile.TemporaryDirectory() as name:
        model.save_pretrained(Path(name) / PART, max_shard_size=limit, **options)
        index = {"_class_name": "Pipeline", PART: ["diffusers", type(model).__name__]}
        (Path(name) / "model_index.json").write_text(json.dumps(index))
        export_folder_as_dduf(directory / NAME, name)


def load(model_class: Any, config: Mapping[str, Any], directory: Path, device: Device) -> Any:
    """Unpack the model and load it as safetensors."""
    from huggingface_hub import read_dduf_file

    with tempfile.TemporaryDirectory() as name:
        for path, entry in read_dduf_file(directory / NAME).items():
            if path.startswith(f"{PART}/"):
                with entry.as_mmap() as content:
                    (Path(name) / Path(path).name).write_bytes(content)
        options = recipe(safetensors=True)
        return from_pretrained(model_class, config, Path(name), device, options=options)


def read(directory: Path) -> Contents:
    """Read the safetensors files that are in the archive."""
    path = directory / NAME
    with tempfile.TemporaryDirectory() as name, readable(path), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".safetensors"):
                (Path(name) / Path(entry.filename).name).write_bytes(archive.read(entry))
        return read_safetensors(Path(name))


SAVE = f"""\
with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(Path(folder) / "{PART}"OPTIONS)
    part = ["diffusers", "{{model}}"]
    index = {{{{"_class_name": "Pipeline", "{PART}": part}}}}
    (Path(folder) / "model_index.json").write_text(json.dumps(index))
    export_folder_as_dduf(directory / "{NAME}", folder)"""
LOAD = f"""\
with tempfile.TemporaryDirectory() as folder:
    for name, entry in read_dduf_file(directory / "{NAME}").items():
        if name.startswith("{PART}/"):
            with entry.as_mmap() as content:
                (Path(folder) / Path(name).name).write_bytes(content)
    loaded = {{model}}.from_pretrained(
        folder, torch_dtype=torch.bfloat16, use_safetensors=True{{placed}}
    )"""


def _script(*, sharded: bool) -> FormatScript:
    return FormatScript(
        save=SAVE.replace("OPTIONS", ', max_shard_size="{limit}"' if sharded else ""),
        load=LOAD,
        imports=frozenset({(HUB, "export_folder_as_dduf")}),
        load_imports=frozenset({(HUB, "read_dduf_file")}),
    )


FORMATS = tuple(
    Format(
        name=name,
        title=f"`save_pretrained({written})`, then `export_folder_as_dduf`",
        save=partial(save, options=options, sharded=sharded),
        load=load,
        read=read,
        sharded=sharded,
        splits_weights=sharded,
        schemes=REPRESENTATIVE,
        extra=True,
        has_config=False,
        # That there are no weights is seen by who looks into the archive.
        script=_script(sharded=sharded) if not options else None,
    )
    for name, written, options, sharded in (
        ("dduf-safetensors", "", {}, False),
        ("dduf-safetensors-sharded", 'max_shard_size="..."', {}, True),
        ("dduf-pickle", "safe_serialization=False", {"safe_serialization": False}, False),
    )
)
