"""One static file of a report: the words by Jinja, the matrix and the drawers by a small script.

The file asks nothing of a network, and its policy forbids it: only this style sheet and this
script, by their digests, may act in it, whatever a library's message holds.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from conformance import __version__
from conformance.report.html.island import island
from conformance.report.html.plots import LABEL, ROW, WIDTH, plots
from conformance.report.html.signs import signs
from conformance.report.html.view import CauseView, Page, fragment, permalink
from conformance.report.text import printable

STYLES = ("base.css", "matrix.css", "drawer.css", "print.css")
SCRIPTS = ("core.js", "matrix.js", "drawer.js", "main.js")
CAUSES_OPEN = 6
"""Causes of one heading that are shown at once; the others are a click away."""
CASES_NAMED = 6


def render(page: Page) -> str:
    """Return the whole file."""
    style, script = _asset(STYLES), _asset(SCRIPTS)
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script, pictures=_has_pictures(page)),
            data=Markup(island(page)),
            causes=[(kind, list(views)) for kind, views in groupby(_numbered(page), _kind)],
            bar=_bar(page),
            endings={*(each.now for each in page.entries), *(each.was for each in page.entries)},
            signs=signs(page),
            versions=versions(page),
            plots=plots(page),
            suite=__version__,
        )
    )


def _numbered(page: Page) -> list[tuple[int, CauseView]]:
    return list(enumerate(page.causes))


def _kind(numbered: tuple[int, CauseView]) -> str:
    return numbered[1].kind


@cache
def _environment() -> Environment:
    made = Environment(
        autoescape=True,
        loader=PackageLoader("conformance.report.html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    made.filters.update(
        fragment=fragment, permalink=permalink, web=web_link, number=_number, ticked=ticked
    )
    made.globals.update(
        CAUSES_OPEN=CAUSES_OPEN, CASES_NAMED=CASES_NAMED, LABEL=LABEL, WIDTH=WIDTH, ROW=ROW
    )
    return made


def _finalized(value: Any) -> Any:
    """Take out of a library's text what no document may hold; our own markup stays as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def web_link(text: str) -> str:
    """Return the text if it is a web address that may be followed, else nothing."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in ("http", "https") and parts.netloc else ""


def ticked(text: str) -> Markup:
    """Return text as markup in which `this` is code; a tick that stands alone is a tick."""
    parts = printable(text).split("`")
    if len(parts) % 2 == 0:
        return escape(printable(text))
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def _number(count: int) -> str:
    """Return a count that people can read: `2 380` with a narrow space that does not break."""
    return f"{count:,}".replace(",", "\u202f")


@cache
def _asset(names: Iterable[str]) -> str:
    folder = files("conformance.report.html") / "assets"
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def _has_pictures(page: Page) -> bool:
    return any(attempt.pictures for entry in page.entries for attempt in entry.attempts)


def _policy(style: str, script: str, *, pictures: bool) -> str:
    """Return the content security policy: nothing from outside, and of the inside only ours."""
    embedded = "img-src data:; " if pictures else ""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; {embedded}"
        "base-uri 'none'; form-action 'none'"
    )


def _digest(content: str) -> str:
    found = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"


def _bar(page: Page) -> list[tuple[str, str, int, float, float]]:
    """Return name, tone, count, start and width of every ending, for a bar of 1000 units."""
    counts = Counter(entry.now for entry in page.entries)
    total, start, found = max(1, len(page.entries)), 0.0, []
    for name, mark in page.marks.items():
        width = 1000 * counts[name] / total
        if width:
            found.append((name, mark.tone, counts[name], round(start, 2), round(width, 2)))
        start += width
    return found


def versions(page: Page) -> list[tuple[str, list[str], bool]]:
    """Return name, the value on every side, and whether the sides differ, row by row."""
    software = (name for side in page.sides for name in side.versions)
    names = dict.fromkeys((*software, *(name for side in page.sides for name in side.hardware)))
    rows = []
    for name in names:
        values = [side.versions.get(name, side.hardware.get(name, "none")) for side in page.sides]
        rows.append((name, values, len(set(values)) > 1))
    return rows
