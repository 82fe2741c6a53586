"""The HTML report in a real headless Chromium, opened as a file, as people open a CI artifact.

Skipped where there is no Chromium, unless CONFORMANCE_BROWSER=required: then that is a failure.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from report_pages import EVIL, HOSTILE, KNOWN, TIMED, A, B, C, D, pages
from test_comparison import NEW, results
from test_hung import drawn

from conformance.errors import UsageError
from conformance.report.browser import READY, chromium, missing, wait_until
from conformance.report.html import Page, of_run, render
from conformance.report.hung import TITLES, hung
from conformance.report.picture import HEIGHT, WIDTH, picture
from conformance.roundtrip.outcome import Failure, Finding, Harm, Outcome, Stage

pytestmark = pytest.mark.thorough

REQUIRED = os.environ.get("CONFORMANCE_BROWSER") == "required"
AXE = Axe()
KINDS = ("run", "comparison", "exchange")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests of this process."""
    if lacking := missing():
        if REQUIRED:
            pytest.fail(f"CONFORMANCE_BROWSER=required, and {lacking}")
        pytest.skip(lacking)
    with chromium() as launched:
        yield launched


class Opened:
    """A report in a tab, with everything that the console said."""

    def __init__(self, context: Any, path: Path) -> None:
        self.path, self.said = path, list[str]()
        self.tab = context.new_page()
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("dialog", self._dismiss)
        self.requests = list[str]()
        self.tab.on("request", lambda request: self.requests.append(request.url))

    def _dismiss(self, dialog: Any) -> None:
        self.said.append("dialog")
        dialog.dismiss()

    def at(self, fragment: str = "") -> Any:
        """Open the file anew at a fragment and return the tab, when the matrix is drawn."""
        self.tab.goto("about:blank")
        self.tab.goto(self.path.as_uri() + fragment)
        self.tab.wait_for_selector(READY)
        return self.tab


@pytest.fixture
def reports(tmp_path: Path, browser: Any) -> Iterator[Any]:
    """Open a page; at the end the console must have said nothing, and nothing been asked for."""
    context = browser.new_context()
    opened: list[Opened] = []

    def open_page(page: Page) -> Opened:
        path = tmp_path / f"{len(opened)}.html"
        path.write_text(render(page), encoding="utf-8")
        opened.append(Opened(context, path))
        return opened[-1]

    yield open_page
    said = [each for report in opened for each in report.said]
    asked = {url.partition("#")[0] for report in opened for url in report.requests}
    context.close()
    assert said == []
    assert asked <= {report.path.as_uri() for report in opened}


def ids(tab: Any) -> set[str]:
    """The cells that the matrix shows."""
    return set(tab.eval_on_selector_all(".cell", "cells => cells.map(each => each.dataset.id)"))


@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_with_every_measured_cell(kind: str, reports: Any) -> None:
    page = pages()[kind]
    tab = reports(page).at("#?none=1")
    assert ids(tab) == {entry.id for entry in page.entries}


@pytest.mark.slow
def test_a_row_without_a_measurement_is_folded_and_told(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    assert ids(tab) == {A, B, C}
    assert "1 cells hold no measurement" in tab.inner_text("#unmeasured")
    tab.click("#unmeasured button")
    assert ids(tab) == {A, B, C, D}
    shape = tab.get_attribute(f'[data-id="{D}"] .mark', "class")
    assert "hatch" in shape


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_count_of_the_sentence_shows_its_cells(kind: str, reports: Any) -> None:
    tab = reports(pages()[kind]).at()
    links = tab.query_selector_all(".counts a")
    assert links
    for link in links:
        link.click()
        assert len(ids(tab)) == int(link.get_attribute("data-count"))
        assert "?" in tab.evaluate("location.hash")


@pytest.mark.slow
def test_filters_are_kept_in_the_address(reports: Any) -> None:
    report = reports(pages()["run"])
    tab = report.at("#?status=pass")
    assert ids(tab) == {A}
    tab = report.at()
    tab.fill("#q", "INT4 pickle")
    wait_until(tab, "location.hash.includes('q=')")
    assert ids(tab) == {C}
    again = report.at(tab.evaluate("location.hash"))
    assert ids(again) == {C}
    assert again.input_value("#q") == "INT4 pickle"
    again.click("#clear")
    assert ids(again) == {A, B, C}


@pytest.mark.slow
def test_a_choice_and_the_legend_filter(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    tab.select_option('select[data-axis="scheme"]', "int8")
    assert ids(tab) == {A, B}
    tab.click('#legend [data-status="corrupt"]')
    assert ids(tab) == {B}
    assert tab.get_attribute('#legend [data-status="corrupt"]', "aria-pressed") == "true"
    tab.click("#clear")
    tab.check("#alert")
    assert ids(tab) == {B, C}


@pytest.mark.slow
def test_the_changes_of_a_comparison_are_a_choice(reports: Any) -> None:
    page = pages()["comparison"]
    tab = reports(page).at()
    tab.select_option('select[data-axis="change"]', "regressed")
    assert ids(tab) == {each.id for each in page.entries if each.label == "regressed"} != set()
    assert tab.evaluate("location.hash") == "#?change=regressed"


@pytest.mark.slow
def test_a_permalink_opens_the_drawer_with_everything(reports: Any) -> None:
    tab = reports(pages()["run"]).at(f"#{A}")
    words = tab.inner_text("#drawer")
    for part in (A, "✓ load", "fresh 1.5 s", "model.bin", "100", "34.40", "torchao", "0.18.0"):
        assert part in words
    assert f"conformance repro '{A}'" in words
    assert f"conformance run --select '{A}'" in words


@pytest.mark.slow
def test_a_comparison_shows_both_sides_and_marks_what_differs(reports: Any) -> None:
    tab = reports(pages()["comparison"]).at(f"#{A}")
    words = tab.inner_text("#drawer")
    assert "pass\n→\ncorrupt" in words
    assert "blocks the upgrade" in words
    assert tab.inner_text("#drawer tr.differs").split() == ["torchao", "≠", "0.17.0", "0.18.0"]
    marks = tab.eval_on_selector_all(
        f'[data-id="{A}"] .mark', "all => all.map(each => each.innerText)"
    )
    assert marks == ["P", "C"]


@pytest.mark.slow
def test_an_exchange_has_columns_of_writers_and_readers(reports: Any) -> None:
    page = pages()["exchange"]
    tab = reports(page).at(f"#{page.entries[1].id}")
    heads = tab.eval_on_selector_all("#grid thead th.group", "all => all.map(e => e.innerText)")
    assert heads[:2] == ["written by 0.17.0", "written by 0.18.0"]
    words = tab.inner_text("#drawer")
    for part in ("by the format's own loader", "by the weight files alone", "config.json"):
        assert part in words
    assert "conformance exchange -w 'torchao==0.17.0 diffusers==1 torch==2.13.0'" in words


def test_a_hostile_text_does_nothing(reports: Any) -> None:
    """A dialog, a console message or a request of it would fail the fixture."""
    report = reports(pages()["run"])
    tab = report.at(f"#{B}")
    assert EVIL in tab.inner_text("#drawer")
    assert tab.query_selector_all("img") == []
    evil_id = of_run(results({f"{EVIL}#?q=1": HOSTILE}, NEW), KNOWN)
    other = reports(evil_id).at()
    other.click(".cell")
    assert EVIL in other.inner_text("#drawer h2")


@pytest.mark.slow
def test_the_keyboard_is_enough(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    focused = "document.activeElement.dataset.id || document.activeElement.id"
    tab.keyboard.press("/")
    assert tab.evaluate(focused) == "q"
    tab.focus(f'[data-id="{A}"]')
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(focused) == B
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(focused) == C
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate(focused) == B
    tab.keyboard.press("Enter")
    assert tab.is_visible("#drawer")
    assert tab.evaluate(focused) == "drawer"
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#drawer")
    assert tab.evaluate(focused) == B


@pytest.mark.slow
def test_left_and_right_move_between_columns(reports: Any) -> None:
    page = pages()["exchange"]
    tab = reports(page).at("#?none=1")
    line = [each.id for each in page.entries if each.row == page.entries[0].row]
    tab.focus(".cell")
    walked = []
    for _ in line:
        walked.append(tab.evaluate("document.activeElement.dataset.id"))
        tab.keyboard.press("ArrowRight")
    assert walked == line
    tab.keyboard.press("Home")
    assert tab.evaluate("document.activeElement.dataset.id") == line[0]


@pytest.mark.slow
def test_one_cell_of_the_matrix_is_in_the_tab_order(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    assert tab.eval_on_selector_all('.cell[tabindex="0"]', "all => all.length") == 1


@pytest.mark.slow
def test_back_closes_the_drawer(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    tab.click(f'[data-id="{A}"]')
    assert tab.is_visible("#drawer")
    tab.go_back()
    tab.wait_for_selector("#drawer", state="hidden")


@pytest.mark.slow
def test_an_issue_and_a_command_can_be_copied(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    tab.evaluate("navigator.clipboard.writeText = async (text) => { window.kept = text; }")
    tab.click('[data-copy-command="0"]')
    assert wait_until(tab, "window.kept") == f"conformance repro '{B}'"
    tab.click('[data-copy-issue="0"]')
    wait_until(tab, "window.kept.startsWith('## ')")
    assert EVIL in tab.evaluate("window.kept")


@pytest.mark.slow
def test_the_theme_can_be_switched(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before


@pytest.mark.slow
def test_paper_shows_the_folded_causes(reports: Any) -> None:
    failures = [Failure(Stage.LOAD, "ValueError", "abcdefgh"[at] * 8) for at in range(8)]
    cases = {f"toy.{each.message}": Outcome("", failure=each) for each in failures}
    tab = reports(of_run(results(cases, NEW), KNOWN)).at()
    seen = "[...document.querySelectorAll('.cause')].filter(each => each.checkVisibility()).length"
    assert tab.evaluate(seen) == 6
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(seen) == 8
    tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate(seen) == 6


@pytest.mark.slow
def test_print_shows_the_whole_matrix_and_no_controls(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    tab.emulate_media(media="print")
    assert tab.is_hidden("#filters")
    assert tab.is_hidden(".actions")
    assert tab.evaluate("getComputedStyle(document.getElementById('scroll')).overflow") == "visible"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(kind: str, scheme: str, reports: Any) -> None:
    page = pages()[kind]
    report = reports(page)
    for fragment in ("#?none=1", f"#{page.entries[1].id}"):
        tab = report.at(fragment)
        tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = AXE.run(tab).response["violations"]
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
        assert told == []


@pytest.mark.slow
def test_axe_can_find_something(reports: Any) -> None:
    tab = reports(pages()["run"]).at()
    tab.evaluate("document.querySelector('.cell').removeAttribute('aria-label')")
    tab.evaluate("document.querySelector('.cell').removeAttribute('title')")
    found = {each["id"] for each in AXE.run(tab).response["violations"]}
    assert "button-name" in found


@pytest.mark.slow
def test_a_narrow_window_scrolls_the_matrix_and_not_the_page(reports: Any) -> None:
    report = reports(pages()["exchange"])
    report.tab.set_viewport_size({"width": 390, "height": 844})
    for fragment in ("", f"#{pages()['exchange'].entries[0].id}"):
        tab = report.at(fragment)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1280, 390])
def test_the_name_of_a_check_is_not_broken_by_a_digest_beside_it(width: int, reports: Any) -> None:
    digest = "0cbc239976bdd6bb1f20b7fdca5acf00"
    told = ("blocks.0.attn.to_q.weight", "requires_grad came back True", digest, digest[::-1])
    found = Finding("requires_grad", Stage.STRUCTURE, Harm.ALTERED, *told)
    report = reports(of_run(results({A: Outcome(A, findings=(found,))}, NEW), KNOWN))
    report.tab.set_viewport_size({"width": width, "height": 844})
    tab = report.at(f"#{A}")
    lines = """cell => {
        const range = document.createRange();
        range.selectNodeContents(cell.firstChild);
        return range.getClientRects().length;
    }"""
    assert tab.eval_on_selector("#drawer .findings td", lines) == 1
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert AXE.run(tab).response["violations"] == []


def test_pictures_are_seen_in_the_drawer(reports: Any, tmp_path: Path) -> None:
    made = drawn(tmp_path)
    room = sum(len(each.source) for each in hung(made, tmp_path, tmp_path)[A][:1])
    shown = hung(made, tmp_path, tmp_path, limit=room + 10)
    tab = reports(of_run(made, replace(KNOWN, pictures=shown))).at(f"#{A}")
    seen = "found => found.map(each => [each.alt, each.complete && each.naturalWidth])"
    assert tab.eval_on_selector_all("#drawer img", seen) == [[TITLES["reference"], 8]]
    links = tab.eval_on_selector_all("#drawer figure a", "found => found.map(each => each.href)")
    assert links == [f"{tmp_path.as_uri()}/drawn/{A}/{name}.png" for name in list(TITLES)[1:]]
    assert AXE.run(tab).response["violations"] == []


def test_a_film_can_be_looked_at_frame_by_frame(reports: Any, tmp_path: Path) -> None:
    made = drawn(tmp_path, ".gif", ("-0.png", "-1.png", ".mp4"))
    shown = hung(made, tmp_path, tmp_path)
    tab = reports(of_run(made, replace(KNOWN, pictures=shown))).at(f"#{A}")
    assert len(tab.query_selector_all("#drawer img")) == len(TITLES)
    links = tab.query_selector_all("#drawer figure:first-of-type .links a")
    assert [each.inner_text() for each in links] == ["mp4", "0", "1"]
    assert links[1].get_attribute("aria-label") == "unquantized: frame 0"
    assert links[1].get_attribute("href") == f"drawn/{A}/reference-0.png"
    assert AXE.run(tab).response["violations"] == []


def test_without_scripts_the_verdict_and_the_causes_stand(tmp_path: Path, browser: Any) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(pages()["run"]), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(path.as_uri())
    words = tab.inner_text("main")
    context.close()
    assert re.search("2 cases are not as expected", words)
    assert "scripts are switched off" in words


@pytest.mark.slow
def test_the_picture_is_of_the_report_and_of_a_case(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render(pages()["run"]), encoding="utf-8")
    made = Image.open(BytesIO(picture(browser, path, A)))
    assert (made.format, made.width) == ("PNG", WIDTH)
    assert HEIGHT < made.height < 3 * HEIGHT
    with pytest.raises(UsageError, match=r"has no case 'nothing'; name one of its matrix"):
        picture(browser, path, "nothing")


@pytest.mark.slow
def test_two_thousand_cells_are_drawn(reports: Any) -> None:
    cases = {f"toy.{number}": replace(TIMED) for number in range(2000)}
    tab = reports(of_run(results(cases, NEW), KNOWN)).at()
    assert len(ids(tab)) == 2000
