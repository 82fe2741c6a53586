"""A headless Chromium, which shows reports to the tests, to `bench report` and to the camera."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from conformance.errors import UsageError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY = "body[data-ready]"
"""Selects the body of a report whose matrix is drawn."""
PATIENCE, PAUSE = 20.0, 0.02
"""Seconds until `wait_until` gives up, and between two looks."""


def missing() -> str:
    """Return what is not there for a browser to start, with the mend; empty when all is."""
    try:
        import_module("playwright.sync_api")
    except ModuleNotFoundError:
        return "playwright is not installed; install the extra `test`"
    if program() is None:
        return "there is no chromium on the PATH; on Debian: apt-get install chromium"
    return ""


def program() -> str | None:
    """Return the path of an installed Chromium."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a headless Chromium, a playwright `Browser`.

    Raises:
        UsageError: Chromium or playwright is not installed.
    """
    if lacking := missing():
        raise UsageError(lacking)
    with import_module("playwright.sync_api").sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def wait_until(tab: Any, expression: str) -> Any:
    """Return the value of some JavaScript as soon as it is true.

    playwright's own waiting evaluates text in the page, which the policy of a report forbids.

    Raises:
        TimeoutError: it did not become true in `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while not (value := tab.evaluate(expression)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{expression} is {value!r} after {PATIENCE:.0f} s")
        time.sleep(PAUSE)
    return value
