"""What is written comes back, whatever it says; what is damaged is an error, never a result."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from test_verdicts import CASE, finding, finding_in, outcomes, raising, stopped

from conformance.errors import UsageError
from conformance.judging.judge import judge
from conformance.judging.results import (
    Header,
    ResultsWriter,
    Selection,
    load_schema,
    read_results,
)
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.outcome import Harm, NoResultKind, Outcome, Reader, Stage, Step

VALIDATOR = Draft202012Validator(load_schema())
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=timezone.utc)
OTHER = "toy.int4.direct.pickle.cpu"


def header(planned: int = 1) -> Header:
    chosen = Selection(("toy.*",), ("tiny",), "cpu")
    return Header.now({"torchao": "0.18.0"}, {"cpu": "x86"}, chosen, planned, lambda: NOON)


def write(path: Path, *measured: Outcome, planned: int | None = None) -> Path:
    with ResultsWriter(path, header(len(measured) if planned is None else planned)) as writer:
        for outcome in measured:
            writer.write(outcome, judge(outcome, []))
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def test_a_run_comes_back_as_it_was_written(path: Path) -> None:
    outcome = Outcome(CASE, (Step(Stage.SAVE, 0.5, Reader.FRESH),), (finding(),))
    results = read_results(write(path, outcome))
    assert results.header == header()
    assert results.cases[CASE].outcome == outcome
    assert results.cases[CASE].judgement == judge(outcome, [])
    assert results.footer.complete


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(outcomes, max_size=3, unique_by=lambda outcome: outcome.case))
def test_any_outcome_comes_back(path: Path, measured: list[Outcome]) -> None:
    results = read_results(write(path, *measured))
    assert [result.outcome for result in results.cases.values()] == measured
    assert all(VALIDATOR.is_valid(line) for line in lines_of(path))


def test_not_a_number_comes_back(path: Path) -> None:
    results = read_results(write(path, Outcome(CASE, measures={"sqnr_db": float("nan")})))
    assert str(results.cases[CASE].outcome.measures["sqnr_db"]) == "nan"


def test_the_cases_are_counted(path: Path) -> None:
    results = read_results(write(path, Outcome(CASE), stopped_as(OTHER)))
    assert results.tally.verdicts[Verdict.PASS] == 1
    assert results.tally.no_results[NoResultKind.TIMEOUT] == 1
    assert (results.footer.counts.expected, results.footer.counts.unexpected) == (1, 1)


def stopped_as(case: str) -> Outcome:
    return Outcome(case, no_result=stopped(NoResultKind.TIMEOUT).no_result)


def test_times_are_utc(path: Path) -> None:
    with ResultsWriter(path, header(0), lambda: NOON):
        pass
    results = read_results(path)
    assert results.header.started == results.footer.finished == "2026-01-02T12:00:00+00:00"


def test_unused_expectations_are_named_in_the_footer(path: Path) -> None:
    with ResultsWriter(path, header(0)) as writer:
        writer.unused = ("old-bug",)
    assert read_results(path).footer.unused == ("old-bug",)


def test_every_case_is_on_disk_as_soon_as_it_is_written(path: Path) -> None:
    with ResultsWriter(path, header()) as writer:
        writer.write(Outcome(CASE), judge(Outcome(CASE), []))
        assert [line["line"] for line in lines_of(path)] == ["header", "case"]


def break_off(path: Path, error: type[BaseException]) -> None:
    with ResultsWriter(path, header(2)) as writer:
        writer.write(Outcome(CASE), judge(Outcome(CASE), []))
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_is_broken_off_is_partial_and_whole(
    path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error):
        break_off(path, error)
    results = read_results(path)
    assert list(results.cases) == [CASE]
    assert not results.footer.complete


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["seek", "write", "flush"])
def test_ctrl_c_while_a_case_is_written_loses_nothing(path: Path, method: str, after: bool) -> None:
    writer = ResultsWriter(path, header())
    real = writer._file

    def ctrl_c(*arguments: Any) -> None:
        if after:
            getattr(real, method)(*arguments)
        raise KeyboardInterrupt

    writer._file = Mock(wraps=real, **{method: ctrl_c})
    with pytest.raises(KeyboardInterrupt):
        writer.write(Outcome(CASE), judge(Outcome(CASE), []))
    writer._file = real
    writer.close(interrupted=True)
    assert list(read_results(path).cases) == [CASE]


def test_a_run_with_cases_missing_is_partial(path: Path) -> None:
    assert not read_results(write(path, Outcome(CASE), planned=2)).footer.complete


def test_closing_twice_writes_one_footer(path: Path) -> None:
    writer = ResultsWriter(path, header(0))
    writer.close(interrupted=True)
    writer.close()
    assert not read_results(path).footer.complete


def test_a_case_is_written_once(path: Path) -> None:
    with ResultsWriter(path, header()) as writer:
        writer.write(Outcome(CASE), judge(Outcome(CASE), []))
        with pytest.raises(ValueError, match="written already"):
            writer.write(Outcome(CASE), judge(Outcome(CASE), []))


def test_a_judgement_belongs_to_its_outcome(path: Path) -> None:
    with ResultsWriter(path, header()) as writer, pytest.raises(ValueError, match="a judgement of"):
        writer.write(Outcome(CASE), judge(Outcome(OTHER), []))


def test_a_shorter_run_replaces_a_longer_one(path: Path) -> None:
    write(path, *(Outcome(f"toy.{n}") for n in range(9)))
    assert list(read_results(write(path, Outcome(CASE))).cases) == [CASE]


@pytest.mark.parametrize("name", [".", "missing/results.jsonl"])
def test_an_unwritable_path_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"^cannot write the results to .*; give a path[^\n]*$"):
        ResultsWriter(tmp_path / name, header())


def test_what_was_there_stays_when_the_header_cannot_be_written(path: Path) -> None:
    write(path, Outcome(CASE))
    bad = Header({"torchao": object()}, {}, Selection(), 1, "now")  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        ResultsWriter(path, bad)
    assert list(read_results(path).cases) == [CASE]


@pytest.mark.parametrize("call", ["os.open", "os.write"])
def test_what_was_there_stays_when_it_cannot_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write(path, Outcome(CASE))
    monkeypatch.setattr(call, Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(UsageError, match="Permission denied"):
        ResultsWriter(path, header())
    monkeypatch.undo()
    assert list(read_results(path).cases) == [CASE]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_in_one_line() -> None:
    with pytest.raises(UsageError, match="No space left on device; give a path"):
        ResultsWriter(Path("/dev/full"), header())


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the results .*: No such file"):
        read_results(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "cannot read the results"),
        (b"{}\n", "it has no header"),
        (b"hello\n", "line 1 is not a JSON object"),
        (b'{"line": "header", "kind": "exchange"}\n', "is of `conformance exchange`"),
        (b'{"kind": "damage"}\n', "is of `conformance damage`"),
    ],
)
def test_what_is_no_results_file_is_an_error(path: Path, content: bytes, line: str) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match=line):
        read_results(path)


def test_a_file_without_footer_is_truncated(path: Path) -> None:
    rewrite(path, *lines_of(write(path, Outcome(CASE)))[:-1])
    with pytest.raises(UsageError, match="truncated: it has no footer"):
        read_results(path)


def test_a_file_cut_anywhere_is_an_error(path: Path) -> None:
    whole = write(path, Outcome(CASE)).read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError):
            read_results(path)


def test_a_broken_line_in_the_middle_is_damage(path: Path) -> None:
    first, *others = write(path, Outcome(CASE)).read_text().splitlines()
    path.write_text("\n".join([first, "{", *others]))
    with pytest.raises(UsageError, match="is damaged: line 2"):
        read_results(path)


def test_another_schema_version_is_an_error(path: Path) -> None:
    first, *others = lines_of(write(path, Outcome(CASE)))
    rewrite(path, {**first, "schema": 2, "suite": "9.0"}, *others)
    with pytest.raises(UsageError, match=r"schema version 2 .* use the suite version '9\.0'"):
        read_results(path)


def test_a_case_twice_is_an_error(path: Path) -> None:
    first, case, footer = lines_of(write(path, Outcome(CASE)))
    with pytest.raises(UsageError, match=f"holds the case {CASE} twice"):
        read_results(rewrite(path, first, case, case, footer))


def test_a_case_too_few_is_an_error(path: Path) -> None:
    first, _, footer = lines_of(write(path, Outcome(CASE)))
    with pytest.raises(UsageError, match="the footer counts other cases"):
        read_results(rewrite(path, first, footer))


@pytest.mark.parametrize("planned", [0, 2])
def test_a_complete_file_has_what_was_planned(path: Path, planned: int) -> None:
    first, *others = lines_of(write(path, Outcome(CASE)))
    with pytest.raises(UsageError, match=f"1 cases of {planned} planned"):
        read_results(rewrite(path, {**first, "planned": planned}, *others))


def test_a_partial_file_has_no_more_than_was_planned(path: Path) -> None:
    write(path, Outcome(CASE), planned=0)
    with pytest.raises(UsageError, match="1 cases of 0 planned"):
        read_results(path)


def test_a_line_after_the_footer_is_an_error(path: Path) -> None:
    first, case, footer = lines_of(write(path, Outcome(CASE)))
    with pytest.raises(UsageError, match="no footer"):
        read_results(rewrite(path, first, footer, case))


@pytest.fixture
def written(path: Path) -> list[dict[str, Any]]:
    full = Outcome(
        CASE,
        (Step(Stage.SAVE, 0.5),),
        (finding(Harm.ALTERED),),
        raising(Stage.RESAVE, "OSError", "full", "a.json").failure,
        measures={"sqnr_db": float("inf"), "tensors": 3},
    )
    return lines_of(write(path, full, stopped_as(OTHER)))


def test_written_lines_are_valid(written: list[dict[str, Any]]) -> None:
    for line in written:
        VALIDATOR.validate(line)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(load_schema())


def test_the_schema_knows_every_word() -> None:
    words = load_schema()["$defs"]
    for name, vocabulary in {
        "verdict": Verdict,
        "noResultKind": NoResultKind,
        "stage": Stage,
        "reader": Reader,
    }.items():
        assert words[name]["enum"] == list(vocabulary)
    assert words["finding"]["properties"]["harm"]["enum"] == list(Harm)


FREE = ("versions", "hardware", "measures")
"""Objects whose keys are not fixed."""


def keys_of(value: Any, *place: Any) -> Iterator[tuple[Any, ...]]:
    """The places of all keys under a line, those of free objects left out."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(value, dict) and (not place or place[-1] not in FREE):
            yield (*place, key)
        if isinstance(inner, dict | list):
            yield from keys_of(inner, *place, key)


def parent(line: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        line = line[key]
    return line


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(lambda holder, key: holder.pop(key), id="key-lost"),
        pytest.param(lambda holder, _: holder.update(surplus=1), id="key-added"),
        pytest.param(lambda holder, key: holder.update({key: [3.5]}), id="other-type"),
    ],
)
def test_the_schema_rejects_every_mutation(
    written: list[dict[str, Any]], mutate: Callable[[dict[str, Any], str], None]
) -> None:
    for line in written:
        for place in keys_of(line):
            mutated = deepcopy(line)
            mutate(parent(mutated, place), place[-1])
            absent = (
                place == ("outcome", "files") and "files" not in mutated["outcome"]
            )  # as in older results
            assert VALIDATOR.is_valid(mutated) == absent, place


@pytest.mark.parametrize(
    ("index", "place", "value"),
    [
        (0, ("schema",), 2),
        (0, ("started",), "yesterday"),
        (0, ("planned",), -1),
        (1, ("judgement", "verdict"), "fine"),
        (1, ("judgement", "verdict"), None),
        (1, ("judgement", "as_expected"), True),
        (1, ("judgement", "reasons"), []),
        (1, ("judgement", "no_result"), "killed"),
        (1, ("outcome", "measures"), {"sqnr_db": "much"}),
        (2, ("outcome", "no_result"), None),
        (2, ("judgement", "verdict"), "pass"),
        (3, ("counts", "verdicts", "pass"), -1),
    ],
)
def test_the_schema_rejects_what_is_wrong(
    written: list[dict[str, Any]], index: int, place: tuple[str, ...], value: object
) -> None:
    line = written[index]
    parent(line, place)[place[-1]] = value
    assert not VALIDATOR.is_valid(line)


anything = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
nested = anything | st.lists(anything, max_size=2) | st.dictionaries(st.text(max_size=3), anything)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    lines = lines_of(write(path, finding_in(finding()), stopped_as(OTHER)))
    line = data.draw(st.sampled_from(lines))
    place = data.draw(st.sampled_from(list(keys_of(line))))
    parent(line, place)[place[-1]] = data.draw(nested)
    message = ""
    try:
        read_results(rewrite(path, *lines))
    except UsageError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
