"""`conformance inspect`."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from conformance.errors import UsageError
from conformance.inspection.advice import advise
from conformance.inspection.hub import REPOSITORY, Repository
from conformance.inspection.layout import indexes, is_weights
from conformance.inspection.readers import table
from conformance.inspection.sources import Folder, Source
from conformance.inspection.whole import checkpoints
from conformance.judging.summary import ExitCode
from conformance.report import text
from conformance.report.inspection import Inspected, as_json, shown

out = text.console()
err = text.console(stderr=True)

EPILOG = """Examples:

[bold]conformance inspect my-model/transformer[/]

[bold]conformance inspect diffusion_pytorch_model.bin[/]  (one file, by itself)

[bold]conformance inspect owner/repository --json[/]  (of the Hub; only headers are fetched)

Nothing is unpickled and torch is not imported.

Exit codes: 0 nothing wrong, 1 something is (hostile, damaged, missing, disagrees, stale),
2 usage."""


def command(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A directory, a weight file, an index, or a Hub repository's id."
        ),
    ],
    as_json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a checkpoint is, and who can read it; and what is wrong with it."""
    source, only = _source(path)
    measured = table()
    with err.status("reading headers"):
        found = [
            Inspected(each, advise(each, measured, _installed()))
            for each in checkpoints(source, measured.names, only)
        ]
    if not found:
        raise UsageError(f"{path} holds no weights; {_below(source)}")
    if as_json_:
        print(json.dumps(as_json(path, found, measured), indent=1))
    else:
        text.show(out, shown(path.rstrip("/"), found, measured))
    wrong = any(each.checkpoint.wrong for each in found)
    raise typer.Exit(ExitCode.NOT_AS_EXPECTED if wrong else ExitCode.AS_EXPECTED)


def _below(source: Source) -> str:
    """Say which folder to name instead: one deeper down that holds weights, where there is one."""
    if isinstance(source, Folder) and (deeper := source.deeper()):
        return f"name a folder that does: {deeper}"
    return "name the folder of the .safetensors or .bin"


def _source(given: str) -> tuple[Source, str | None]:
    """Return where the files are, and the one of them that is asked about."""
    path = Path(given)
    if path.is_dir():
        return Folder(path), None
    if path.is_file() and (is_weights(path.name) or indexes([path.name])):
        return Folder(path.parent, ("*",)), path.name
    if path.exists():
        raise UsageError(
            f"{given} is no directory, weight file or index; "
            "give one of .safetensors, .bin, .pt, .pth, .ckpt, .index.json, or their directory"
        )
    if REPOSITORY.fullmatch(given):
        return Repository(given), None
    raise UsageError(f"{given} is not there; give a path, or the id of a Hub repository")


def _installed() -> str | None:
    try:
        return version("torchao")
    except PackageNotFoundError:
        return None
