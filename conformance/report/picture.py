"""A picture of a report for the README: its head, and below it the matrix with a drawer open.

python -m conformance.report.picture REPORT.html CASE docs/assets/report.png
"""

import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from conformance.errors import UsageError
from conformance.report.browser import READY, chromium, wait_until
from conformance.report.html.view import permalink
from conformance.versions.cache import write_whole

WIDTH, HEIGHT, GAP = 1280, 540, 12
"""Pixels of a picture's width, of the matrix in it, and between the two halves."""
COLOURS = 256
"""Colours that are kept: a report has few, and the picture is small then."""
GAP_COLOUR = "#aab2be"
CAUSES = 2
"""Causes in the head of the picture: one row."""


def picture(browser: Any, report: Path, case_id: str) -> bytes:
    """Return a PNG of a report and of one of its drawers, seen by a browser of playwright.

    Raises:
        UsageError: the report has no such case.
    """
    tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    try:
        head, drawer = _image(_head(tab, report)), _image(_drawer(tab, report, case_id))
    finally:
        tab.close()
    whole = Image.new("RGB", (WIDTH, head.height + GAP + drawer.height), GAP_COLOUR)
    whole.paste(head, (0, 0))
    whole.paste(drawer, (0, head.height + GAP))
    written = io.BytesIO()
    whole.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(written, "PNG", optimize=True)
    return written.getvalue()


def _image(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _head(tab: Any, report: Path) -> bytes:
    _open(tab, report, "")
    bottom = tab.evaluate(
        f"[...document.querySelectorAll('.cause')].slice(0, {CAUSES})"
        ".reduce((most, each) => Math.max(most, each.getBoundingClientRect().bottom), 0)"
    )
    tab.set_viewport_size({"width": WIDTH, "height": max(HEIGHT // 2, round(bottom) + GAP)})
    return bytes(tab.screenshot())


def _drawer(tab: Any, report: Path, case_id: str) -> bytes:
    tab.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    _open(tab, report, permalink(case_id))
    if tab.is_hidden("#drawer"):
        raise UsageError(f"the report {report} has no case {case_id!r}; name one of its matrix")
    tab.evaluate("document.getElementById('matrix').scrollIntoView()")
    wait_until(tab, "document.getAnimations().every(each => each.playState === 'finished')")
    return bytes(tab.screenshot())


def _open(tab: Any, report: Path, fragment: str) -> None:
    tab.goto("about:blank")
    tab.goto(report.resolve().as_uri() + fragment)
    tab.wait_for_selector(READY)


def main(arguments: list[str]) -> None:
    """Write the picture.

    Raises:
        UsageError: the arguments are not three, there is no such report, or no browser.
    """
    if len(arguments) != 3:
        raise UsageError("give a report, a case of it and the picture: REPORT.html CASE OUT.png")
    report, case_id, place = arguments
    if not Path(report).is_file():
        raise UsageError(f"there is no report {report}; `conformance report` makes one")
    with chromium() as browser:
        write_whole(Path(place), picture(browser, Path(report), case_id))
    Path(place).chmod(0o644)


if __name__ == "__main__":
    main(sys.argv[1:])
