"""The support tables: they say what was measured, and the documents hold what the tables say."""

import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version
from test_comparison import BREAKS, HUNG, NEW, PASS, SKIPPED, results
from test_results import lines_of, write
from test_run_markdown import declared, failing
from test_verdicts import CASE, finding

from conformance import __version__
from conformance.axes import registry
from conformance.case import all_cases, all_ids, default_cases, default_formats, default_routes
from conformance.errors import UsageError
from conformance.judging.expectations import active, load_expectations, packaged
from conformance.judging.judge import judge
from conformance.judging.packed import packed
from conformance.judging.results import Results, read_results
from conformance.judging.signature import cause_of, signature, without_paths
from conformance.judging.verdicts import Verdict
from conformance.report import tables
from conformance.report.formats import what_came_back, without_result
from conformance.report.support import (
    LETTERS,
    SCHEMES_SHOWN,
    Support,
    by_route,
    compact,
    not_measured,
)
from conformance.roundtrip.checks import check_names
from conformance.roundtrip.outcome import Failure, Outcome, Stage

ROOT = Path(__file__).parents[1]
FORMATS, ROUTES = default_formats(), default_routes()
CORRUPT = Outcome("", findings=(finding(),))
AGAIN = "conformance run --results R && python -m conformance.report.tables R"


@pytest.fixture(scope="module")
def committed() -> Results:
    return tables.committed()


# The committed results


@pytest.mark.thorough
def test_they_are_the_whole_default_run_of_this_suite(committed: Results) -> None:
    assert committed.cases.keys() == {each.id for each in default_cases()}, AGAIN
    assert committed.footer.complete
    assert committed.header.suite == __version__


def test_they_are_from_the_pinned_versions(committed: Results) -> None:
    lines = (ROOT / "ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in map(Requirement, (line for line in lines if not line.startswith("#")))
    }
    observed = {
        name: Version(version).public
        for name, version in committed.header.versions.items()
        if name != "python"
    }
    assert {"torch", "torchao", "diffusers", "safetensors"} <= observed.keys()
    assert observed == {name: pins[name] for name in observed}, AGAIN
    assert committed.header.hardware["python"].startswith("3.11.")


@pytest.mark.thorough
def test_they_are_as_todays_expectations_have_it(committed: Results) -> None:
    known = load_expectations(packaged(), check_names(), all_ids())
    declared_now = active(known, committed.header.versions)
    unexpected = [
        name
        for name, each in committed.cases.items()
        if not judge(each.outcome, declared_now).as_expected
    ]
    assert unexpected == [], AGAIN


@pytest.mark.thorough
def test_what_was_left_out_of_them_changes_no_verdict_and_no_cause(committed: Results) -> None:
    for each in committed.cases.values():
        judged = judge(each.outcome, ())
        assert (judged.verdict, judged.cause) == (each.judgement.verdict, each.judgement.cause)


def test_they_are_small_and_name_no_folder_of_a_machine() -> None:
    content = (ROOT / tables.COMMITTED).read_bytes()
    assert len(content) < 1_000_000
    text = lzma.decompress(content).decode()
    for folder in ("/tmp/", "/home/", "/root/", "site-packages"):
        assert folder not in text


@pytest.mark.thorough
@pytest.mark.parametrize("document", tables.DOCUMENTS, ids=str)
def test_the_documents_hold_what_the_results_say(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    again = tables.filled(text, Support.of(tables.committed(path=tables.DOCUMENTS[document])))
    assert text == again, "python -m conformance.report.tables"


@pytest.fixture(scope="module")
def others() -> Results:
    return tables.committed(path=tables.EXTRA)


def test_those_of_other_formats_are_of_every_extra_format(others: Results) -> None:
    subjects = ("flux-tiny", "cogvideox-tiny")
    wanted = {
        each.id
        for each in all_cases().values()
        if each.format.extra and each.subject.name in subjects and each.device == "cpu"
    }
    selected = " ".join(f"--select '{name}.*.cpu'" for name in subjects)
    again = f"conformance run -m extra {selected} --results R"
    assert others.cases.keys() == wanted, again
    assert others.footer.complete
    assert others.header.suite == __version__


@pytest.mark.thorough
def test_they_are_as_todays_expectations_have_it_too(others: Results) -> None:
    known = load_expectations(packaged(), check_names(), all_ids())
    declared_now = active(known, others.header.versions)
    judged = [judge(each.outcome, declared_now) for each in others.cases.values()]
    assert [each.case for each in judged if not each.as_expected] == []
    covering = {name for each in judged for name in each.covered_by}
    about = {e.name for e in declared_now if any(map(e.about, others.cases))}
    assert about - covering == set()


def test_the_table_of_other_formats_has_every_one_once(others: Results) -> None:
    rows = what_came_back(Support.of(others))[4:]
    named = [row.split("|")[1].strip(" `") for row in rows]
    assert named == [each.name for each in registry.formats().values() if each.extra]


def test_a_cell_of_other_formats_names_both_routes_where_they_differ() -> None:
    ids = [f"flux-tiny.int8wo.{route}.hub-pickle.cpu" for route in ROUTES]
    differing = Support.of(results(dict(zip(ids, (PASS, BREAKS), strict=True)), NEW))
    equal = Support.of(results(dict.fromkeys(ids, PASS), NEW))
    assert what_came_back(differing)[-1] == "| `hub-pickle` | `= / L` |"
    assert what_came_back(equal)[-1] == "| `hub-pickle` | `=` |"


def test_every_reason_of_other_formats_is_told_once() -> None:
    ids = [f"flux-tiny.int8wo.{route}.hub-pickle.cpu" for route in ROUTES]
    found = without_result(Support.of(results(dict.fromkeys(ids, SKIPPED), NEW)))
    assert found[2:] == ["| `needs CUDA` | hub-pickle |"]


def test_results_of_extra_cases_are_kept_beside_the_others(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.jsonl", Outcome("flux-tiny.int8wo.quantize_.hub-pickle-into-quantized.cpu")
    )
    assert tables.keep(path, tmp_path) == tmp_path / tables.EXTRA
    assert not (tmp_path / tables.COMMITTED).exists()


def test_every_table_is_in_a_document() -> None:
    texts = [(ROOT / each).read_text(encoding="utf-8") for each in tables.DOCUMENTS]
    found = {match["name"] for text in texts for match in tables.REGION.finditer(text)}
    assert found == tables.REGIONS.keys()


# What a table says


def case_ids(scheme: str = "int8wo", route: str = "quantize_", form: str = "pickle") -> list[str]:
    return [
        each.id
        for each in default_cases()
        if (each.scheme.name, each.route.name, each.format.name) == (scheme, route, form)
    ]


def support(*outcomes: Outcome) -> Support:
    return Support.of(results(dict(zip(case_ids(), outcomes, strict=False)), NEW))


@pytest.mark.parametrize(
    ("outcomes", "letter"),
    [
        ((PASS, PASS, PASS), "="),
        ((PASS, BREAKS, PASS), "L~"),
        ((BREAKS, CORRUPT), "C~"),
        ((CORRUPT, CORRUPT), "C"),
        ((SKIPPED, SKIPPED), "."),
        ((SKIPPED, PASS), "=~"),
        ((HUNG, PASS), "?~"),
        ((HUNG, CORRUPT), "C~"),
        ((HUNG, BREAKS), "?~"),
        ((), "."),
    ],
)
def test_a_letter(outcomes: tuple[Outcome, ...], letter: str) -> None:
    assert support(*outcomes).letter("int8wo", "quantize_", "pickle") == letter


def test_every_verdict_has_its_own_letter() -> None:
    assert LETTERS.keys() == set(Verdict)
    assert len({*LETTERS.values(), "?", ".", "~"}) == len(Verdict) + 3


@given(st.dictionaries(st.sampled_from(sorted(all_cases())[:200]), st.sampled_from([PASS, BREAKS])))
def test_a_scheme_is_measured_or_among_those_not_measured(measured: dict[str, Outcome]) -> None:
    found = Support.of(results(measured, NEW))
    rows = [line.split(" | ")[0].removeprefix("| ") for line in not_measured(found)[2:]]
    named = Counter(name for row in rows for name in row.split(", "))
    assert named == Counter(name for name in registry.schemes() if not found.measured(name))


ROW = re.compile(r"\| (?P<names>.+?)(?: and (?P<more>\d+) more)? \| (?P<cells>.*) \|")


def rows_of(found: Support) -> Iterator[tuple[list[str], int, list[str]]]:
    """Yield named schemes, how many more, and cells of each row of the small table."""
    for line in compact(found)[2:]:
        row = ROW.fullmatch(line)
        assert row, line
        yield row["names"].split(", "), int(row["more"] or 0), row["cells"].split(" | ")


@given(st.dictionaries(st.sampled_from(sorted(all_cases())[:900]), st.sampled_from([PASS, BREAKS])))
def test_the_small_table_has_every_measured_scheme_once(measured: dict[str, Outcome]) -> None:
    found = Support.of(results(measured, NEW))
    rows = list(rows_of(found))
    named = [name for names, _, _ in rows for name in names]
    assert len({*named}) == len(named)
    assert all(map(found.measured, named))
    counted = len(named) + sum(more for _, more, _ in rows)
    assert counted == sum(1 for name in registry.schemes() if found.measured(name))


def test_the_small_table_says_what_came_back() -> None:
    outcomes = {
        each.id: BREAKS if each.format.name.startswith("pickle") else PASS
        for each in default_cases()
        if each.scheme.name in ("int8wo", "float8wo") and each.route.name == "quantize_"
    }
    corrupt = {each.id: CORRUPT for each in default_cases() if each.scheme.name == "nf4"}
    found = Support.of(results({**outcomes, **corrupt}, NEW))
    head, _, *rows = compact(found)
    broken = "**load-failed** / not measured"
    fine = "pass / not measured"
    others = ", ".join(form for form in found.formats() if not form.startswith("pickle"))
    assert head == f"| schemes | pickle, pickle-sharded | {others} |"
    assert rows == [
        f"| float8wo, int8wo | {broken} | {fine} |",
        "| nf4 | **corrupt** | **corrupt** |",
    ]


def test_a_long_row_names_plain_names_and_counts_the_rest() -> None:
    found = Support.of(results({each.id: PASS for each in default_cases()}, NEW))
    ((names, more, cells),) = rows_of(found)
    assert cells == ["pass"]
    assert len(names) + more == len(registry.schemes())
    assert len(names) == SCHEMES_SHOWN
    assert not [name for name in names if "-" in name]


def test_a_mixed_cell_keeps_its_mark() -> None:
    ((_, _, cells),) = rows_of(support(BREAKS, PASS))
    assert cells[0] == "**load-failed**~ / not measured"


def test_no_cell_says_more_than_its_cases() -> None:
    found = support(PASS)
    cells = "".join(line for route in ROUTES for line in by_route(found, route))
    assert cells.count("`=`") == 1
    assert cells.count("`.`") == len(ROUTES) - 1
    assert not [form for form in FORMATS if f" {form} " in cells and form != "pickle"]


def test_a_format_that_was_not_measured_has_no_column() -> None:
    assert support(PASS).formats() == ("pickle",)
    assert support(SKIPPED).formats() == ()
    assert compact(support(PASS))[0] == "| schemes | pickle |"


def test_a_scheme_whose_output_was_not_judged_is_marked() -> None:
    found = support(replace(PASS, storage_only="needs a kernel"))
    assert "| int8wo\u00b0 |" in compact(found)[2]
    assert "| `int8wo\u00b0` |" in by_route(found, "quantize_")[2]


def test_a_case_of_another_suite_is_an_error() -> None:
    with pytest.raises(UsageError, match="no case 'gone'"):
        Support.of(results({"gone": PASS}, NEW))


def test_the_reasons_are_told() -> None:
    told = "\n".join(not_measured(support(SKIPPED)))
    assert "| int8wo | `needs CUDA` |" in told
    assert "| no case was run |" in told


def test_another_results_file_gives_another_table() -> None:
    text = "<!-- support-compact --><!-- /support-compact -->"
    assert tables.filled(text, support(PASS)) != tables.filled(text, support(BREAKS))


# Writing


def test_only_the_regions_are_written() -> None:
    text = "before <!-- support-compact -->old<!-- /support-compact --> after"
    made = tables.filled(text, support(PASS))
    assert made.startswith("before <!-- support-compact -->\n\n")
    assert made.endswith("\n\n<!-- /support-compact --> after")
    assert "old" not in made
    assert tables.filled(made, support(PASS)) == made


@pytest.mark.parametrize(
    ("text", "named"),
    [("nothing", "no region"), ("<!-- support-new --><!-- /support-new -->", "support-new")],
)
def test_a_document_without_a_known_region_is_an_error(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        tables.filled(text, support(PASS))


@pytest.mark.parametrize("measured", [[Outcome(CASE)], [replace(BREAKS, case=CASE)]])
def test_partial_and_unexpected_results_are_not_kept(
    measured: list[Outcome], tmp_path: Path
) -> None:
    partial = measured[0].failure is None
    path = write(tmp_path / "r.jsonl", *measured, planned=2 if partial else 1)
    with pytest.raises(UsageError, match="is not kept: "):
        tables.keep(path, tmp_path)
    assert not (tmp_path / tables.COMMITTED).exists()


def test_results_are_kept_and_the_documents_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    documents = [each for each, source in tables.DOCUMENTS.items() if source == tables.COMMITTED]
    for document in documents:
        text = "<!-- support-compact --><!-- /support-compact -->"
        (tmp_path / document).write_text(text)
    measured = write(tmp_path / "r.jsonl", *(Outcome(each) for each in case_ids()))
    assert tables.main([str(measured)], tmp_path) == [
        tmp_path / each for each in (tables.COMMITTED, *documents)
    ]
    assert tables.committed(tmp_path) == read_results(measured)
    assert "| pass / not measured |" in (tmp_path / "README.md").read_text()


# Packed results


def test_a_packed_file_lacks_tracebacks_and_paths_alone(tmp_path: Path) -> None:
    message = "no '/home/me/a b.bin' at /tmp/x-1/y.bin: torch/nn, a/b, https://a.b/c"
    failure = Failure(Stage.LOAD, "OSError", message, 'File "/opt/x.py"', leftovers=("a/b",))
    path = write(tmp_path / "r.jsonl", Outcome(CASE, failure=failure, measures={"sqnr_db": 1.5}))
    kept = tmp_path / "r.jsonl.xz"
    kept.write_bytes(packed(path.read_text()))
    before, after = (read_results(each).cases[CASE] for each in (path, kept))
    clean = "no '<path>' at <path>: torch/nn, a/b, https://a.b/c"
    shown = replace(failure, message=clean, traceback="")
    assert after.outcome == replace(before.outcome, failure=shown)
    assert after.judgement.verdict == before.judgement.verdict
    assert cause_of(after.outcome) == after.judgement.cause


def test_nothing_else_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", Outcome(CASE, findings=(finding(),)))
    kept = tmp_path / "r.xz"
    kept.write_bytes(packed(path.read_text()))
    assert read_results(kept) == read_results(path)
    assert lzma.decompress(packed(path.read_text())).count(b"\n") == len(lines_of(path))


@given(st.lists(st.sampled_from(("'/a b/c' ", "/x/y.bin", "a/b", "\n", " ", "0x1f", "4 of 5"))))
def test_a_text_without_paths_has_the_same_signature(parts: list[str]) -> None:
    text = "".join(parts)
    assert signature(without_paths(text)) == signature(text)
    assert without_paths(without_paths(text)) == without_paths(text)


@pytest.mark.parametrize("content", [b"", b"{}", lzma.compress(b"x" * 99)[:40]])
def test_what_is_not_compressed_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.xz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"r\.jsonl\.xz"):
        read_results(path)


def test_a_declared_defect_keeps_its_letter() -> None:
    run = declared(results({case_ids()[0]: failing("x")}, NEW))
    assert Support.of(run).letter("int8wo", "quantize_", "pickle") == "L"
