"""This interpreter as an environment, under versions of our choice."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from conformance.versions.party import Party


def start(arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    """Start this interpreter."""
    return subprocess.Popen([sys.executable, *arguments], text=True, **options)


def start_script(script: str, arguments: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    """Run a script in the place of the module that is asked for."""
    return start(["-c", script, *arguments], **options)


def here(name: str, **versions: str) -> Party:
    """Return a party that runs the suite in this interpreter."""
    return Party(name, versions or {"torchao": name, "diffusers": "1"}, start)


def scripted(name: str, script: str, versions: Mapping[str, str] | None = None) -> Party:
    """Return a party whose processes run a script; `sys.argv[2]` is the module asked for."""
    return Party(
        name, versions or {"torchao": name, "diffusers": "1"}, partial(start_script, script)
    )
