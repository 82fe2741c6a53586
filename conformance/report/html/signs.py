"""What stands in the matrix beside the marks of the endings, for its legend."""

from collections.abc import Iterator

from conformance.report.html.view import Page

Sign = tuple[str, str, str]
"""Class of the style sheet, name and meaning."""
FRAMES = {
    "run": "not as expected",
    "comparison": "blocks the upgrade, or is flaky",
    "exchange": "good weights behind a config or a loader that cannot read them",
}
NOTES: dict[str, Sign] = {
    "s": ("small-s", "storage only", "its kernel is missing here: the output was not judged"),
    "c": ("small-c", "config.json", "stands before weights that are fine"),
    "l": ("small-l", "loader", "stands before weights that are fine"),
}


def signs(page: Page) -> tuple[Sign, ...]:
    """Return the signs that occur on the page, and those that a filter can bring."""
    return tuple(_signs(page))


def _signs(page: Page) -> Iterator[Sign]:
    if page.kind == "comparison":
        yield "pair", "two marks", "before on the left, after on the right"
    if any(entry.alert for entry in page.entries):
        yield "frame", "framed", FRAMES[page.kind]
    notes = {entry.note for entry in page.entries}
    yield from (sign for note, sign in NOTES.items() if note in notes)
    yield "gap", "hatched, empty", "not in these results"
    yield "dot", "dot", "does not pass the filters"
