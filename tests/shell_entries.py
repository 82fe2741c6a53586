"""Shell entries of `ci/`, run as CI runs them, and what they called."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a shell entry ended, and what it called."""

    code: int
    stdout: str
    stderr: str
    calls: list[list[str]]


def run_entry(
    command: Sequence[str], here: Path, variables: Mapping[str, str], calls: Path
) -> Ended:
    """Run an entry in a directory; its stand-ins write what they are called with to `calls`."""
    done = subprocess.run(
        command, cwd=here, env=variables, capture_output=True, text=True, check=False
    )
    lines = calls.read_text().splitlines() if calls.exists() else []
    return Ended(done.returncode, done.stdout, done.stderr, [json.loads(each) for each in lines])
