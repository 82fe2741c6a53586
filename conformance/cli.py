"""The command line face: which commands there are, and how each ends."""

import io
import os
import sys
from typing import Any

import typer

from conformance.commands.lazy import Lazy, group_of
from conformance.errors import UsageError

COMMANDS = (
    Lazy("run", "run", "Run cases, judge them, and tell what they came to."),
    Lazy("list", "look", "List cases, each with what it can give on this machine."),
    Lazy("show", "look", "Show a case: its axes, what is expected of it."),
    Lazy("explain", "explain", "Find the known defect behind a message or a traceback."),
    Lazy("schemes", "look", "List the schemes with what each can give on this machine."),
    Lazy("env", "look", "Show the installed versions and the machine."),
    Lazy("compare", "compare", "Compare two results files: may we upgrade?"),
    Lazy("summary", "summary", "Tell a run to CI: Markdown for GitHub, JUnit XML, or badges."),
    Lazy("report", "report", "Draw a results file for people: one HTML file."),
    Lazy(
        "merge",
        "merge",
        "Join the shards of one run to the results that the whole run would have written.",
    ),
    Lazy("gate", "gate", "Run the cases in two environments and compare: may we upgrade?"),
    Lazy("bisect", "bisect", "Find the first version in which a case is worse than it was."),
    Lazy("exchange", "exchange", "Have every writer write, and every reader read all of it."),
    Lazy("matrix", "exchange", "Draw the matrix of an exchange from its results file."),
    Lazy("golden", "golden", "Checkpoints that old releases wrote."),
    Lazy("envs", "envs", "Virtual environments for several versions, made once and kept."),
    Lazy("inspect", "inspect", "Tell what a checkpoint is, and who can read it."),
    Lazy("repro", "repro", "Write a case as a script of its own, without the suite."),
    Lazy("record", "own", "Record what a checkpoint of yours gives today."),
    Lazy("verify", "own", "Does a checkpoint of yours still come back as it was recorded?"),
    Lazy(
        "damage",
        "damage",
        "Damage checkpoints, and tell what their loaders make of it.",
    ),
    Lazy(
        "past",
        "past",
        "Save where something was saved before or a save was broken off, and tell what is loaded.",
    ),
    Lazy(
        "hub",
        "hub",
        "Push quantized checkpoints to a Hub, and tell whether they come back bit by bit.",
    ),
    Lazy("plan", "plan", "Tell the memory, disk and time that full-size cases will need."),
    Lazy("bench", "bench", "Measure what the suite costs."),
)
"""Every command: its name, its module in `conformance.commands`, and what `--help` says of it.

A module is imported when its command is called, so that help and completion are quick. It has a
`command` with an `EPILOG`, or an `app` of further commands, or a `register` that adds several.
"""

app = typer.Typer(
    cls=group_of(COMMANDS),
    help="Does a quantized checkpoint still come back as what was saved?",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

CommandLineError: Any = typer.BadParameter.__bases__[0]
"""What typer raises for a bad command line; the release of typer decides where it is defined."""
INTERRUPTED = 130
"""What a shell reports for Ctrl-C."""
NAME = "conformance"
"""What help calls it, however it was started; shells complete it by this name."""


@app.callback()
def conformance() -> None:
    """Does a quantized checkpoint still come back as what was saved?"""


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a log that knows no ticks must not end the run
            stream.reconfigure(errors="replace")
    if os.environ.get("NO_COLOR"):  # bold is a colour, too, to somebody who wants plain text
        from typer import rich_utils

        rich_utils.COLOR_SYSTEM = None
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name=NAME, standalone_mode=False)
    except UsageError as error:
        code = _refuse(str(error))
    except CommandLineError as error:
        code = _refuse(f"{error.format_message().rstrip('.')}; {_help(error)} shows how")
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - raised again, unless it says that the disk is full
        code = _out_of_space(error)
    sys.exit(code)


def _help(error: Any) -> str:
    """Return the help of the command that was called wrongly."""
    context = getattr(error, "ctx", None)
    path = context.command_path.split()[1:] if context else []
    return f"`{' '.join([NAME, *path])} --help`"


def _refuse(reason: str) -> int:
    from conformance.judging.summary import ExitCode

    _complain(reason)
    return ExitCode.USAGE


def _out_of_space(error: Exception) -> int:
    from conformance.judging.summary import ExitCode
    from conformance.roundtrip.disk import NoSpaceError, no_space

    full = isinstance(error, OSError) and no_space(str(error))
    if not (full or isinstance(error, NoSpaceError)):
        raise error
    mend = (
        "free some, and run it again, with --resume where there is one: what was measured is kept"
    )
    _complain(f"no space left: {error}; {mend}")
    return ExitCode.INCONCLUSIVE


def _complain(reason: str) -> None:
    from conformance.report import text

    text.show(text.console(stderr=True), text.line(f"conformance: {reason}", "red"))


if __name__ == "__main__":
    main()
