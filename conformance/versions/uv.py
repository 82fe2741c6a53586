"""uv, told the settings that people already gave to pip.

uv reads its own settings by itself. What they leave open is taken from pip's (`PIP_*` and pip's
configuration files), so that an index or a folder of wheels that pip finds is found here too.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import uv

from conformance.errors import UsageError

FROM_PIP: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "index-url": ("UV_DEFAULT_INDEX", ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), " "),
    "extra-index-url": ("UV_EXTRA_INDEX_URL", ("UV_EXTRA_INDEX_URL", "UV_INDEX"), " "),
    "find-links": ("UV_FIND_LINKS", ("UV_FIND_LINKS",), ","),
    "constraint": ("UV_CONSTRAINT", ("UV_CONSTRAINT",), " "),
    "trusted-host": ("UV_INSECURE_HOST", ("UV_INSECURE_HOST",), " "),
    "timeout": ("UV_HTTP_TIMEOUT", ("UV_HTTP_TIMEOUT",), " "),
    "cert": ("SSL_CERT_FILE", ("SSL_CERT_FILE",), " "),
}
"""pip's setting -> uv's variable, the variables that overrule it, and how it separates values."""

RESOLUTION = (
    "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX",
    "UV_EXCLUDE_NEWER",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_TORCH_BACKEND",
)
"""The variables on which a resolution depends."""

UNREACHABLE = re.compile(
    r"error sending request for url|HTTP status server error|429 Too Many Requests"
    r"|401 Unauthorized|403 Forbidden|[Nn]etwork (?:was|connectivity is) disabled"
    r"|unable to access 'https?:"
)
"""What uv says, or git through it, when a source gives no answer; "not found" is an answer."""

LEAKS = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "UV_PYTHON", "CONDA_PREFIX")
"""Variables of the caller's interpreter that must not reach another one."""


class UvError(Exception):
    """uv could not do it. The message is its own words on one line."""


@dataclass(frozen=True)
class Uv:
    """uv with its settings."""

    binary: str
    variables: Mapping[str, str] = field(repr=False)
    """The whole environment that it runs with."""
    index_arguments: tuple[str, ...] = ()
    """For the commands that look at an index."""

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command and return what it printed.

        Raises:
            UvError: it failed.
        """
        done = subprocess.run(
            [self.binary, *arguments],
            input=stdin,
            env=dict(self.variables),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise UvError(words(done.stderr) or f"uv ended with {done.returncode}")
        return done.stdout

    def settings(self) -> dict[str, str]:
        """Return what a resolution depends on besides its requirements."""
        chosen = {name: self.variables[name] for name in RESOLUTION if name in self.variables}
        return {**chosen, "arguments": " ".join(self.index_arguments)}


@cache
def find_uv() -> Uv:
    """Return the uv that is installed with the suite, with the settings of uv and pip.

    Raises:
        UsageError: its program is missing.
    """
    try:
        binary = str(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise UsageError(f"uv is not installed as a program: {error}; pip install uv") from None
    pip = pip_settings(_pip_config())
    return Uv(binary, uv_variables(os.environ, pip), uv_arguments(pip))


def _pip_config() -> str:
    """Return what pip is configured to do; empty where there is no pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def pip_settings(listing: str) -> dict[str, str]:
    """Read `pip config list`: variables overrule `[install]`, which overrules `[global]`."""
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listing.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(f"{section}."):
                found[name.removeprefix(f"{section}.")] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value))
    except (SyntaxError, ValueError):
        return value


def uv_variables(environ: Mapping[str, str], pip: Mapping[str, str]) -> dict[str, str]:
    """Return uv's environment: the caller's, completed by pip's settings where uv has none."""
    variables = {name: value for name, value in environ.items() if name not in LEAKS}
    for setting, (variable, overruling, separator) in FROM_PIP.items():
        if pip.get(setting) and not any(environ.get(name) for name in overruling):
            variables[variable] = separator.join(pip[setting].split())
    if "UV_EXTRA_INDEX_URL" not in environ and "UV_EXTRA_INDEX_URL" in variables:
        # pip takes the best version of all indexes, uv by default the first index with the name.
        variables.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    if pip.get("pre") in ("1", "true", "True", "yes"):
        variables.setdefault("UV_PRERELEASE", "allow")
    return variables | {"UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def uv_arguments(pip: Mapping[str, str]) -> tuple[str, ...]:
    """Return the settings of pip that uv takes as arguments only."""
    return ("--no-index",) if pip.get("no-index") in ("1", "true", "True", "yes") else ()


def unreachable(text: str) -> bool:
    """Do uv's words say that an index did not answer, rather than what is in it?"""
    return UNREACHABLE.search(text) is not None


def words(stderr: str) -> str:
    """Return what uv said, on one line and without its drawing."""
    kept = (line for line in stderr.splitlines() if not line.startswith(("warning:", "Using ")))
    bare = [
        re.sub(r"^\s*(?:error:|cause:|\xd7|├─▶|╰─▶|│|Caused by:)\s*", "", line) for line in kept
    ]
    return " ".join(part.strip() for part in bare if part.strip())
