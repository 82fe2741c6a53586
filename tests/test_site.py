"""The documentation site: built strictly, whole, no link broken, nothing fetched."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from test_comparison import NEW, PASS, results

from conformance.axes import registry
from conformance.case import default_cases
from conformance.report.catalogue import defects
from conformance.report.site import TUTORIALS, navigation, relinked
from conformance.report.site_pages import SOURCES, anchor, pages
from conformance.report.support import Support
from conformance.roundtrip.checks import all_checks
from conformance.roundtrip.outcome import NoResult, NoResultKind, Outcome

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
LOADS = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
"""What a browser fetches by itself, and the attribute that says from where."""


class Page(HTMLParser):
    """The links, the ids and the fetched addresses of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.fetched: set[str] = set()
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if tag in LOADS and LOADS[tag] in values:
            self.fetched.add(values[LOADS[tag]])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_everything_has_a_page(site: Path) -> None:
    wanted = {
        "index.html",
        *(f"checks/{each.name}.html" for each in all_checks()),
        *(f"schemes/{name}.html" for name in registry.schemes()),
        *(f"formats/{name}.html" for name in registry.formats()),
        *(f"tutorials/{name}.html" for name in TUTORIALS),
    }
    assert wanted <= {path.relative_to(site).as_posix() for path in site.rglob("*.html")}


def broken(found: dict[Path, Page]) -> Iterator[str]:
    for path, page in found.items():
        for link in page.links | page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = found.get(target)
            if not target.exists():
                yield f"{path.name}: {link}"
            elif parts.fragment and there and unquote(parts.fragment) not in there.ids:
                yield f"{path.name}: {link} has no such fragment"


@pytest.mark.slow
def test_no_link_is_broken(parsed: dict[Path, Page]) -> None:
    del parsed[next(path for path in parsed if path.name == "404.html")]  # it is served, not opened
    assert list(broken(parsed)) == []


@pytest.mark.parametrize("link", ["gone.html", "#gone", "b.html#gone"])
def test_a_broken_link_is_noticed(link: str, tmp_path: Path) -> None:
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    first.write_text(f'<a href="b.html#here">fine</a><a href="{link}">not</a>')
    second.write_text('<p id="here">')
    found = {path: Page(path) for path in (first, second)}
    assert [each.split(" ")[1] for each in broken(found)] == [link]


@pytest.mark.slow
def test_a_browser_fetches_nothing_from_elsewhere(parsed: dict[Path, Page]) -> None:
    fetched = {each for page in parsed.values() for each in page.fetched}
    assert fetched
    assert [each for each in fetched if urlsplit(each).netloc] == []


def test_every_page_is_in_the_menu() -> None:
    named = [
        page for part in navigation() for pages_of in part.values() for page in _flat(pages_of)
    ]
    assert len(named) == len(set(named))
    assert {f"schemes/{name}.md" for name in registry.schemes()} < set(named)


def _flat(pages_of: object) -> list[str]:
    return [str(each) for each in pages_of] if isinstance(pages_of, list) else [str(pages_of)]


# What the pages say


def measured(outcome: Outcome) -> dict[str, str]:
    cases = {each.id: PASS for each in default_cases() if each.scheme.name == "int8wo"}
    return pages(results({**cases, next(iter(cases)): outcome}, NEW))


def test_a_page_says_what_was_measured() -> None:
    made = measured(PASS)
    assert "| [pickle](../formats/pickle.md) | pass | pass |" in made["schemes/int8wo.md"]
    assert "| [int8wo](../schemes/int8wo.md) | pass | pass |" in made["formats/pickle.md"]
    assert "## Why not more" not in made["schemes/int8wo.md"]
    assert "| [int8wo](int8wo.md) | int8 weights" in made["schemes/index.md"]


def test_a_page_says_that_nothing_was_measured() -> None:
    made = measured(PASS)
    assert "\nNot measured: no case was run.\n" in made["schemes/nf4.md"]
    assert "nf4" not in made["formats/pickle.md"]
    assert made["schemes/index.md"].count("| not measured |") == len(registry.schemes()) - 1


def test_a_format_says_that_it_was_not_measured() -> None:
    case = next(each for each in default_cases() if each.format.name == "pickle")
    made = pages(results({case.id: PASS}, NEW))
    assert "Not measured" in made["formats/safetensors.md"]
    assert "Not measured" not in made["formats/pickle.md"]
    assert "safetensors" not in made[f"schemes/{case.scheme.name}.md"]


def test_a_page_says_why_a_scheme_was_not_measured() -> None:
    cases = [each.id for each in default_cases() if each.scheme.name == "nvfp4"]
    skipped = Outcome("", no_result=NoResult(NoResultKind.SKIPPED, "needs CUDA"))
    made = pages(results(dict.fromkeys(cases, skipped), NEW))
    assert "\nNot measured: `needs CUDA`\n" in made["schemes/nvfp4.md"]


def test_a_page_says_why_a_case_does_not_pass() -> None:
    hung = Outcome("", no_result=NoResult(NoResultKind.TIMEOUT, "60 s"))
    made = measured(hung)
    assert "## Why not more\n\n**`timeout: # s`**\n\n1 case" in made["schemes/int8wo.md"]
    assert "Not declared." in made["schemes/int8wo.md"]


@pytest.mark.slow
def test_every_defect_has_the_fragment_that_pages_link_to(parsed: dict[Path, Page]) -> None:
    (page,) = (each for path, each in parsed.items() if path.name == "defects.html")
    assert {anchor(each.name) for each in defects()} <= page.ids


# Documents

UNFENCED = re.compile(r"^- .*\n\n {6}\S", re.MULTILINE)
"""Code in a list item without a fence: the site shows it as text."""


@pytest.mark.parametrize("path", [*SOURCES, *(f"docs/{each.name}" for each in DOCS)])
def test_code_in_a_list_is_fenced(path: str) -> None:
    assert UNFENCED.findall((ROOT / path).read_text(encoding="utf-8")) == []


def test_code_without_a_fence_is_noticed() -> None:
    assert UNFENCED.search("- see:\n\n      code\n\n")
    assert not UNFENCED.search("- see:\n\n    ```sh\n    code\n    ```\n")


# Links


@pytest.mark.parametrize(
    ("source", "page", "link", "there"),
    [
        ("README.md", "index.md", "[x](docs/checks.md#bits)", "[x](checks.md#bits)"),
        ("README.md", "index.md", "[x](CONTRIBUTING.md)", "[x](contributing.md)"),
        ("README.md", "index.md", "[x](pyproject.toml)", "x (`pyproject.toml`)"),
        ("ci/README.md", "ci.md", "[x](../docs/checks.md)", "[x](checks.md)"),
        ("ci/README.md", "ci.md", "[x](environments.toml)", "x (`ci/environments.toml`)"),
        ("docs/a/b.md", "a/b.md", "[x](../../ci/README.md)", "[x](../ci.md)"),
        ("docs/a/b.md", "a/b.md", "[x](https://a.b/c)", "[x](https://a.b/c)"),
        ("docs/a/b.md", "a/b.md", "[x](#here)", "[x](#here)"),
    ],
)
def test_a_link_holds_in_the_site(source: str, page: str, link: str, there: str) -> None:
    assert relinked(link, page, source, ROOT) == there


def test_a_link_to_what_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"README\.md links to gone\.md"):
        relinked("[x](gone.md)", "index.md", "README.md", ROOT)


def test_the_tables_of_a_page_are_those_of_the_documents() -> None:
    found = Support.of(results({}, NEW))
    assert not any(found.measured(name) for name in registry.schemes())
