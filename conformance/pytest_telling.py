"""The part of the pytest face that says how far large cases are."""

import sys
from contextlib import nullcontext
from typing import Any

import pytest

from conformance.report.telling import Telling


def telling(config: pytest.Config) -> Telling:
    """Return what says it, past what pytest captures.

    Nobody sees the terminal of an xdist worker; its standard error is that of pytest.
    """
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    terminal: Any = config.pluginmanager.getplugin("terminalreporter")
    unseen = terminal is None or hasattr(config, "workerinput")

    def say(line: str) -> None:
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            if unseen:
                print(line, file=sys.stderr, flush=True)
            else:
                terminal.ensure_newline()
                terminal.write_line(line)

    return Telling(say)
