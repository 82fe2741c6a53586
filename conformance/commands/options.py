"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EnvironmentsFile = Annotated[
    Path | None,
    typer.Option("--environments", metavar="FILE", help="Environments of your own, as TOML."),
]
