"""The documentation site: what `mkdocs.yml` does not say. `ci/site.py` hands this to mkdocs."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from conformance.axes import registry
from conformance.judging.results import Results
from conformance.report.github import code
from conformance.report.site_pages import SOURCES, pages, place, relative
from conformance.roundtrip.checks import all_checks

LINK = re.compile(r"\[(?P<text>[^\[\]]*)\]\((?P<path>[^()\s#:]+)(?P<fragment>#[^()\s]*)?\)")
"""A link to a file of the checkout; one with a scheme has a colon."""
TUTORIALS = (
    "gate-your-upgrade",
    "file-a-good-bug",
    "add-a-family",
    "a-family-of-your-own",
)


def relinked(markdown: str, page: str, source: str, root: Path) -> str:
    """Return the text with links that hold in the site, where they held in the checkout.

    What the site does not have, a workflow or a module, is named and no longer linked.

    Raises:
        ValueError: a link leads to a file that is not there.
    """
    folder = posixpath.dirname(source)

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found["path"]))
        if not (root / target).exists():
            raise ValueError(f"{source} links to {found['path']}, which is not there")
        there = place(target)
        if there is None:
            return f"{found['text']} ({code(target)})"
        return f"[{found['text']}]({relative(page, there)}{found['fragment'] or ''})"

    return LINK.sub(moved, markdown)


def all_pages(root: Path, results: Results) -> dict[str, str]:
    """Return every page that does not lie in docs/, by its path in the site.

    Raises:
        ValueError: a document links to a file that is not there.
    """
    moved = {
        page: relinked((root / source).read_text(encoding="utf-8"), page, source, root)
        for source, page in SOURCES.items()
    }
    return {**moved, **pages(results)}


_MEASURED = ("support", "formats", "exchange", "defects", "damage", "past")
MEASURED = [f"{name}.md" for name in (*_MEASURED, "pictures", "hub", "load", "bench-model")]
"""The pages of what was measured."""


def navigation() -> list[Mapping[str, Any]]:
    """Return what stands in the menu, in this order."""
    return [
        {"Home": "index.md"},
        {"Use it": "use.md"},
        {"Tutorials": [f"tutorials/{name}.md" for name in TUTORIALS]},
        {"Measured": MEASURED},
        {"Checks": ["checks.md", *(f"checks/{each.name}.md" for each in all_checks())]},
        {"Schemes": _with_index("schemes", registry.schemes())},
        {"Formats": _with_index("formats", registry.formats())},
        {"More": ["ci.md", "architecture.md", "contributing.md"]},
    ]


def _with_index(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/index.md", *(f"{folder}/{name}.md" for name in names)]
