"""The HTML report without a browser: counts add up, and nothing that a library said is markup."""

import json
import re
from collections import Counter
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pages import EVIL, HOSTILE, KNOWN, TIMED, A, B, C, Read, a_run, pages
from test_comparison import AXES, BREAKS, NEW, OLD, PASS, compared, results
from test_verdicts import finding, outcomes

from conformance.judging.defects import Defect, Part, Workaround
from conformance.judging.excuses import Differs, Raises
from conformance.judging.expectations import Expectation, Kind
from conformance.judging.judge import judge
from conformance.judging.measured import Measured
from conformance.judging.results import Result, Results
from conformance.report.html import Known, of_comparison, of_run, render
from conformance.report.html.causes import issue_text
from conformance.report.html.island import CASE, ID, LENGTH_KEPT, island, packed
from conformance.report.html.page import SCRIPTS, _asset, ticked, web_link
from conformance.report.html.plots import plots
from conformance.report.html.signs import signs
from conformance.report.html.view import Side, permalink, shell_quoted
from conformance.roundtrip.outcome import Failure, NoResult, NoResultKind, Outcome, Stage

KINDS = sorted(pages())
runs = st.dictionaries(st.sampled_from([*AXES, "toy.unknown", EVIL]), outcomes, max_size=5)


@pytest.fixture(params=KINDS)
def document(request: pytest.FixtureRequest) -> str:
    return render(pages()[request.param])


def test_the_counts_of_the_sentence_add_up(document: str) -> None:
    read = Read.of(document)
    assert sum(count for count, _ in read.counts) == read.total > 0


def test_every_count_is_that_of_the_cells_behind_its_link(document: str) -> None:
    read = Read.of(document)
    told = [(count, read.entries(query)) for count, query in read.counts if query]
    assert told
    assert all(count == behind for count, behind in told)


@given(runs)
def test_the_counts_of_any_run_add_up(cases: dict[str, Outcome]) -> None:
    read = Read.of(render(of_run(results(cases, NEW, planned=len(cases) + 1), KNOWN)))
    assert sum(count for count, _ in read.counts) == read.total == len(cases) + 1
    assert all(count == read.entries(query) for count, query in read.counts if query)


@given(runs, runs)
def test_the_counts_of_any_comparison_add_up(
    before: dict[str, Outcome], after: dict[str, Outcome]
) -> None:
    read = Read.of(render(of_comparison(compared(before, after), KNOWN)))
    assert sum(count for count, _ in read.counts) == read.total == len({*before, *after})
    assert all(count == read.entries(query) for count, query in read.counts if query)


def test_nothing_a_library_said_is_markup(document: str) -> None:
    read = Read.of(document)
    assert [each.get("id") for each in read.scripts] == ["data", None]
    assert "img" not in read.tags
    assert not [name for name in read.attributes if name.startswith("on")]
    assert EVIL in json.dumps(read.island, ensure_ascii=False).replace('\\"', '"')


@given(runs)
def test_no_text_ends_the_data_or_begins_an_element(cases: dict[str, Outcome]) -> None:
    page = of_run(results(cases, NEW), KNOWN)
    text = island(page)
    assert not re.search("[<>&]", text)
    assert json.loads(text) == json.loads(json.dumps(packed(page)))
    assert len(Read.of(render(page)).scripts) == 2


def test_a_file_asks_for_nothing_from_outside(document: str) -> None:
    read = Read.of(document)
    assert read.sources == []
    assert [link for link in read.links if not link.startswith(("#", "https://"))] == []
    assert "default-src 'none'" in unescape(document)
    assert not re.search(r"@import|url\(", document)


def test_only_our_script_and_style_may_act(document: str) -> None:
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', document)[0])
    assert len(re.findall("'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2
    assert "unsafe" not in policy
    assert "style" not in Read.of(document).attributes


def test_no_name_of_the_scripts_is_declared_twice() -> None:
    """They are one script: a second `let` or `function` of a name would stop all of it."""
    script = _asset(SCRIPTS)
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", script, re.MULTILINE)
    assert len(names) > 30
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_entry_has_a_place_of_its_own() -> None:
    for page in pages().values():
        places = [(entry.row, entry.column) for entry in page.entries]
        assert len(set(places)) == len(places)


def test_every_ending_has_a_letter_or_a_shape_of_its_own() -> None:
    for page in pages().values():
        looks = [(mark.letter, mark.shape) for mark in page.marks.values()]
        assert len(set(looks)) == len(looks)
        unmeasured = {mark.shape for mark in page.marks.values() if mark.tone == "none"}
        assert unmeasured == {"hatch"}
        assert "hatch" not in {mark.shape for mark in page.marks.values() if mark.tone != "none"}


def test_a_case_the_suite_does_not_know_has_a_row_of_its_own() -> None:
    (entry,) = of_run(results({"toy.unknown": PASS}, NEW), KNOWN).entries
    assert (entry.row, entry.column) == (("toy.unknown", ""), ("", ""))


def expectation(name: str, match: str, issue: str) -> Expectation:
    excuse = Raises(Stage.LOAD, "KeyError", re.compile(match))
    return Expectation(name, Kind.KNOWN_BUG, ("*",), (), excuse, "It is so.", {}, issue)


def judged(outcome: Outcome, *declared: Expectation) -> Results:
    run = results({A: outcome, B: outcome}, NEW)
    found = [each.outcome for each in run.cases.values()]
    return replace(run, cases={each.case: Result(each, judge(each, declared)) for each in found})


def test_a_cause_names_the_expectation_that_is_about_it_and_no_other() -> None:
    about = expectation("about-it", "scale", "https://github.com/pytorch/ao/issues/1")
    known = Known(AXES, {about.name: about})
    page = of_run(judged(BREAKS, about), known)
    (view,) = page.causes
    assert (view.kind, view.expectations) == ("As declared", ("about-it",))
    document = render(page)
    assert 'href="https://github.com/pytorch/ao/issues/1"' in document
    assert "Related: https://github.com/pytorch/ao/issues/1" in view.issue


def defect(name: str, declared: Expectation, *says: str) -> Defect:
    helps = tuple(Workaround(f"way-{at}", (name,), each) for at, each in enumerate(says))
    return Defect(name, (Part(declared, Measured()),), helps)


def test_a_cause_names_the_known_defect_that_it_is_and_what_helps() -> None:
    about = expectation("about-it", "scale", "https://github.com/pytorch/ao/issues/1")
    known = Known(
        AXES,
        defects=(
            defect("scale-is-lost", about, "Keep <the> scale.", "Another way."),
            defect("other", expectation("another", "zero point", "none found")),
        ),
    )
    page = of_comparison(compared({A: PASS, B: PASS}, {A: BREAKS, B: BREAKS}), known)
    (view,) = page.causes
    assert [each.name for each in view.defects] == ["scale-is-lost"]
    assert "Related: https://github.com/pytorch/ao/issues/1" in view.issue
    words = " ".join(Read.of(render(page)).words.split())
    assert "Known defect: conformance explain scale-is-lost pytorch/ao/issues/1" in words
    assert "What helps: Keep <the> scale. (1 more in its entry)" in words


def test_what_the_catalogue_does_not_know_is_no_known_defect() -> None:
    other = expectation("another", "zero point", "none found")
    known = Known(AXES, defects=(defect("other", other),))
    page = of_comparison(compared({A: PASS}, {A: BREAKS}), known)
    assert [view.defects for view in page.causes] == [()]
    assert "Known defect" not in render(page)


def test_a_finding_is_known_by_its_line() -> None:
    excuse = Differs(Stage.BITS, "bits", re.compile("bits differ"))
    told = replace(expectation("bits-differ", "x", "none found"), excuse=excuse)
    known = Known(AXES, defects=(defect("bits-are-lost", told),))
    after = {A: Outcome("", findings=(finding(),))}
    (view,) = of_comparison(compared({A: PASS}, after), known).causes
    assert [each.name for each in view.defects] == ["bits-are-lost"]


def test_a_defect_of_other_cases_is_not_named() -> None:
    about = replace(expectation("about-it", "scale", "none found"), cases=("toy.int4.*",))
    golden = replace(about, name="golden", cases=("toy.int8.*@torchao0.7*~loader",))
    known = Known(AXES, defects=(defect("of-int4", about), defect("of-golden", golden)))
    (view,) = of_comparison(compared({A: PASS}, {A: BREAKS}), known).causes
    assert [each.name for each in view.defects] == ["of-golden"]


def test_ticks_are_code_and_nothing_else_is_markup() -> None:
    assert ticked("Call `a <b>` & go") == "Call <code>a &lt;b&gt;</code> &amp; go"
    assert ticked("it`s <i>") == "it`s &lt;i&gt;"


def test_the_defect_of_an_expectation_is_that_of_its_entry() -> None:
    about = expectation("about-it", "scale", "https://github.com/pytorch/ao/issues/1")
    both = (defect("group", about), defect("more", replace(about, name="other")))
    page = of_run(judged(BREAKS, about), Known(AXES, {about.name: about}, defects=both))
    assert [each.name for each in page.causes[0].defects] == ["group"]


def test_what_every_measured_case_shares_is_not_told_of_a_cause() -> None:
    axes = {A: {"device": "cpu", "scheme": "int8"}, B: {"device": "cpu", "scheme": "int4"}}
    axes[C] = {"device": "cuda", "scheme": "int8"}
    skipped = Outcome("", no_result=NoResult(NoResultKind.SKIPPED, "no CUDA"))
    page = of_run(results({A: BREAKS, B: PASS, C: skipped}, NEW), Known(axes))
    shared = {view.ending: view.group.shared for view in page.causes}
    assert shared["load-failed"] == {"scheme": "int8"}


def test_the_commands_name_the_file_with_what_was_measured() -> None:
    known = Known(AXES, results="g/candidate.jsonl", exchange="g/exchange.jsonl")
    entry = next(each for each in of_run(a_run(), known).entries if each.id == A)
    assert entry.commands[0] == f"conformance repro '{A}' --results 'g/candidate.jsonl'"
    read = f"{A}@torchao0.17.0,diffusers-"
    page = of_comparison(compared({A: PASS, read: PASS}, {A: BREAKS, read: BREAKS}), known)
    asked = {each.id: each.commands for each in page.entries}
    assert asked[A][0] == f"conformance repro '{A}' --results 'g/candidate.jsonl'"
    cell = f"{read}>torchao0.18.0,diffusers-"
    assert asked[read] == (
        f"conformance repro '{cell}' --results 'g/exchange.jsonl' -o repro",
        "conformance exchange -w 'torchao==0.17.0 torch==2.13.0' "
        f"-r 'torchao==0.18.0 torch==2.13.0' -s '{A}' --results again.jsonl",
    )


def test_the_legend_explains_what_is_there_and_nothing_else() -> None:
    page = pages()["comparison"]
    words = Read.of(render(page)).words.partition("What the marks mean")[2].partition("Plots")[0]
    there = {each for entry in page.entries for each in (entry.now, entry.was)}
    for name, mark in page.marks.items():
        assert (mark.meaning in words) == (name in there)
    assert "before on the left, after on the right" in words
    assert "blocks the upgrade, or is flaky" in words
    plain = of_run(results({A: PASS}, NEW), KNOWN)
    assert {name for _, name, _ in signs(plain)} == {"hatched, empty", "dot"}


def test_what_is_not_as_expected_comes_first_and_in_the_opening() -> None:
    page = of_run(a_run(), KNOWN)
    assert [view.kind for view in page.causes] == ["Not as expected"] * 2
    assert page.causes[0].ending == "corrupt"
    assert page.sentence.opening == "2 cases are not as expected."
    assert (page.sentence.tone, page.sentence.query) == ("bad", "alert=1")


def test_a_link_that_would_act_is_no_link() -> None:
    assert web_link("https://github.com/a/b") == "https://github.com/a/b"
    for text in (
        "javascript:alert(1)",
        "none found",
        "data:text/html,x",
        "https:",
        "//x",
        "http://[",
    ):
        assert web_link(text) == ""
    evil = expectation("evil", "scale", "javascript:alert(1)")
    document = render(of_run(judged(BREAKS, evil), Known(AXES, {evil.name: evil})))
    assert not [link for link in Read.of(document).links if link.startswith("javascript")]


def test_the_issue_holds_what_a_maintainer_asks_for() -> None:
    page = of_run(a_run(), KNOWN)
    text = page.causes[0].issue
    assert text.startswith("## corrupt at ")
    for part in (f"conformance repro '{B}'", "torchao 0.18.0", "torch 2.13.0", f"- `{B}`"):
        assert part in text


def test_a_fence_in_a_traceback_ends_no_code_of_an_issue() -> None:
    outcome = Outcome(A, failure=Failure(Stage.LOAD, "E", "m", "```\n# not a title\n````"))
    page = of_run(results({A: outcome}, NEW), KNOWN)
    text = issue_text(page.causes[0].group, outcome, Side("", {}), (), ("x",))
    assert "`````\n```\n# not a title\n````\n`````" in text


def test_equal_texts_are_kept_once() -> None:
    long = Outcome("", failure=Failure(Stage.LOAD, "E", "m", "a line of a traceback\n" * 400))
    one, two = (
        len(island(of_run(results(dict.fromkeys(cases, long), NEW), KNOWN)))
        for cases in ([A], [A, B])
    )
    assert two - one < 8400  # the traceback is 8,800 characters; the issue is of one case


def test_a_text_too_long_to_read_is_cut_in_the_middle() -> None:
    trace = "first" + "x" * 10 * LENGTH_KEPT + "last"
    failure = Failure(Stage.LOAD, "E", "m", trace)
    texts = packed(of_run(results({A: Outcome("", failure=failure)}, NEW), KNOWN))["texts"]
    (cut,) = [each for each in texts if each.startswith("first")]
    assert cut.endswith("last")
    assert len(cut) < LENGTH_KEPT + 100
    assert "characters left out" in cut


def test_two_thousand_cases_stay_under_five_megabytes() -> None:
    trace = "".join(f'  File "torchao/{line}.py", line {line}, in call\n' for line in range(60))
    failures = [
        Failure(Stage.LOAD, "ValueError", f"{each}", f"{trace}{each}") for each in range(40)
    ]
    cases = {
        f"toy.scheme{number // 14}.route{number % 2}.format{number % 14}.cpu": replace(
            TIMED, failure=failures[number % 40]
        )
        for number in range(2000)
    }
    assert len(render(of_run(results(cases, NEW), KNOWN)).encode()) < 5_000_000


def test_the_plots_show_bytes_noise_and_times() -> None:
    axes = {case: {**each, "subject": "toy", "route": "r"} for case, each in AXES.items()}
    run = results({A: TIMED, C: replace(TIMED, measures={**TIMED.measures, "sqnr_db": 20.0})}, NEW)
    page = of_run(run, Known(axes, floors={"int8": 30.0}))
    size, noise, times = plots(page)
    assert [line.label for line in size.lines] == ["int4", "int8"]
    assert size.lines[1].told == "int8: payload 90 B of at most 99 B, files 130 B, bf16 160 B"
    assert [line.value for line in noise.lines] == ["34.4 dB", "20.0 dB"]
    assert noise.lines[0].told.endswith("floor 30 dB")
    times_told = [(line.label, line.value) for line in times.lines]
    assert times_told == [("save", "1.0 s"), ("load", "3.5 s")]


def test_a_bar_that_leaves_the_scale_says_so() -> None:
    axes = {A: {**AXES[A], "subject": "toy"}}
    huge = replace(TIMED, measures={**TIMED.measures, "payload_bytes": 1060, "file_bytes": 1100})
    size, *_ = plots(of_run(results({A: huge}, NEW), Known(axes)))
    assert "beyond" in {shape.kind for shape in size.lines[0].shapes}
    assert size.lines[0].value == "662%"


@given(runs)
def test_every_shape_lies_in_its_plot(cases: dict[str, Outcome]) -> None:
    axes = {case: {**each, "subject": "toy"} for case, each in AXES.items()}
    for plot in plots(of_run(results(cases, NEW), Known(axes))):
        for line in plot.lines:
            assert all(170 <= shape.start <= 610 for shape in line.shapes)


def test_versions_that_differ_are_marked() -> None:
    document = render(pages()["comparison"])
    row = document.partition('<tr class="differs">')[2].partition("</tr>")[0]
    assert "torchao" in row
    assert OLD["torchao"] in row
    assert NEW["torchao"] in row
    assert document.count('<tr class="differs">') == 1


def test_two_runs_of_the_same_versions_are_told_as_such() -> None:
    from conformance.judging.comparison import Side as Measured
    from conformance.judging.comparison import compare

    sides = Measured(results({A: PASS}, NEW)), Measured(results({A: HOSTILE}, NEW))
    page = of_comparison(compare(*sides, AXES), KNOWN)
    assert (page.sentence.opening, page.sentence.tone) == ("1 of 1 cases is flaky.", "bad")


def test_ids_are_safe_in_links_and_on_command_lines() -> None:
    assert permalink('a"b<c>@d,e') == "#a%22b%3Cc>@d,e"
    assert shell_quoted("it's") == "'it'\\''s'"


@pytest.mark.parametrize("name", ["run", "comparison", "exchange"])
def test_commands_are_whole_when_the_ids_are_put_back(name: str) -> None:
    """As `commandsOf` in core.js does it."""
    page = pages()[name]
    data = packed(page)
    for entry, raw in zip(page.entries, data["entries"], strict=True):
        *_, numbers, case, _ = raw
        ids = {ID: entry.id, CASE: case or entry.id}
        found = [data["texts"][number] for number in numbers]
        for stand_in, each in ids.items():
            found = [command.replace(stand_in, each) for command in found]
        assert tuple(found) == entry.commands
