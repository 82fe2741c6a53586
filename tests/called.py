"""Commands, called as somebody types them, in this process: its imports are paid once."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from conformance.cli import main
from conformance.versions.uv import find_uv

Ran = subprocess.CompletedProcess[str]
UV_SEES = ("UV_", "PIP_")
"""With what the names of uv's settings begin."""

_found_with: dict[str, str] = {}
"""The settings with which uv was found last; a call with others looks anew."""


def called(
    *arguments: str,
    where: Path,
    variables: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    stdin: str = "",
) -> Ran:
    """Call `conformance` with these arguments; without `variables` it has those of the tests."""
    argv = ["conformance", *arguments]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    given = os.environ if variables is None else variables
    _look_for_uv_with({name: given[name] for name in given if name.startswith(UV_SEES)})
    with (
        pytest.MonkeyPatch.context() as patching,
        patch.dict(os.environ, dict(given), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patching.chdir(where)
        patching.setattr(sys, "argv", argv)
        patching.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
    return Ran(argv, int(ended.value.code or 0), _written(out), _written(err))


def _look_for_uv_with(settings: Mapping[str, str]) -> None:
    if settings != _found_with:
        forget_uv()
        _found_with.update(settings)


def forget_uv() -> None:
    """Let what comes after these calls find uv with its own settings."""
    find_uv.cache_clear()
    _found_with.clear()


def _written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
