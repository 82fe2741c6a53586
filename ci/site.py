"""What mkdocs calls while it builds the site; what it says is made in conformance.report.site."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from conformance.report.site import all_pages, navigation, relinked
from conformance.report.tables import committed

ROOT = Path(__file__).resolve().parents[1]


def on_config(config: Any) -> Any:
    """Put every page into the menu."""
    config["nav"] = navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    for path, text in all_pages(ROOT, committed(ROOT)).items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Make links of documents in docs/ hold in the site."""
    path = page.file.src_uri
    return markdown if page.file.generated_by else relinked(markdown, path, f"docs/{path}", ROOT)
