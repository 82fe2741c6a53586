"""`conformance record` and `conformance verify`: somebody's own checkpoint."""

import json
from pathlib import Path
from typing import Annotated

import typer

from conformance.errors import UsageError
from conformance.judging.summary import ExitCode
from conformance.report import own as report
from conformance.report import text
from conformance.roundtrip.checkpoint import Asked, checkpoint_at, record_beside, record_of, whole
from conformance.roundtrip.own import Answer
from conformance.roundtrip.record import Record
from conformance.versions.own import DiedError, absolute, ask, here

RECORD_EPILOG = """Examples:

[bold]conformance record ./my-flux-int8[/]  (a model of diffusers; the class is in config.json)

[bold]conformance record ./vae --inputs inputs.py:for_vae[/]  (a function of config and seed)

[bold]conformance record weights.safetensors[/]  (a plain state dict)

The record lies beside the checkpoint, in PATH.record.json. A pickle is read with weights_only.

Exit codes: 0 recorded, 1 the checkpoint cannot be read, 2 usage, 3 inconclusive."""
VERIFY_EPILOG = """Examples:

[bold]conformance verify ./my-flux-int8[/]

[bold]conformance verify ./my-flux-int8 --record elsewhere.json --json[/]

[bold]conformance gate --checkpoint ./my-flux-int8 --candidate torchao0.18.0[/]

Exit codes: 0 every bit and the outputs come back, 1 not so, 2 usage, 3 inconclusive
(also when the files are not those that were recorded)."""

Where = Annotated[
    Path, typer.Argument(metavar="PATH", help="A model's directory, or the file of a state dict.")
]
RecordFile = Annotated[
    Path | None, typer.Option("--record", metavar="FILE", help="Instead of PATH.record.json.")
]
Model = Annotated[
    str,
    typer.Option("--class", metavar="NAME", help="flux, cogvideox, a class, or module:Class."),
]
Inputs = Annotated[
    str, typer.Option(metavar="MODULE:FUNCTION", help="Makes inputs of (model config, seed).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Outputs = Annotated[
    bool, typer.Option("--outputs/--no-outputs", help="Call the model and compare outputs, too.")
]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command(name="record", epilog=RECORD_EPILOG)(record)
    app.command(name="verify", epilog=VERIFY_EPILOG)(verify)


def record(
    path: Where,
    model: Model = "",
    inputs: Inputs = "",
    dtype: Annotated[
        str, typer.Option(metavar="NAME", help="Load in it; without, in what it is stored in.")
    ] = "",
    file: RecordFile = None,
    outputs: Outputs = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over a record that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record what a checkpoint of yours gives today, to be verified after an upgrade."""
    path = whole(path)
    checkpoint_at(path)
    place = file or record_beside(path)
    if place.exists() and not replace:
        raise UsageError(f"{place} is there already; verify it, or give --replace to lose it")
    asked = Asked(path, place, absolute(model), absolute(inputs), dtype, outputs)
    answer = _asked("record", asked)
    headline = report.recorded_headline(answer, str(path), place)
    _tell(answer, headline, path, None, as_json=as_json)
    failed = answer.outcome.failure or answer.outcome.no_result
    raise typer.Exit(report.exit_code(answer) if failed else ExitCode.AS_EXPECTED)


def verify(
    path: Where,
    model: Model = "",
    inputs: Inputs = "",
    file: RecordFile = None,
    outputs: Outputs = True,
    as_json: AsJson = False,
) -> None:
    """Does a checkpoint of yours still come back as it was recorded?"""
    path = whole(path)
    checkpoint_at(path)
    place = file or record_of(path)
    known = Record.read(place)
    asked = Asked(path, place, absolute(model), absolute(inputs), outputs=outputs)
    answer = _asked("verify", asked)
    headline = report.verified_headline(answer, str(path))
    _tell(answer, headline, path, known, as_json=as_json)
    raise typer.Exit(report.exit_code(answer))


def _asked(what: str, asked: Asked) -> Answer:
    try:
        with report.Bar() as far:
            return ask(here(), what, asked, far)
    except DiedError as error:
        text.show(text.console(stderr=True), text.line(f"Inconclusive: {error}", "bold yellow"))
        raise typer.Exit(ExitCode.INCONCLUSIVE) from None


def _tell(
    answer: Answer, headline: str, path: Path, known: Record | None, *, as_json: bool
) -> None:
    if as_json:
        print(json.dumps(report.to_json(answer, headline), indent=1))
    else:
        text.show(text.console(), report.report(answer, headline, path, known))
