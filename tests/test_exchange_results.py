"""The results file of an exchange, whole or damaged, and the matrix that is drawn from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_exchange import CASE, CASES, EQUAL, FAILED, GLOBS, cell

from conformance.errors import UsageError
from conformance.judging.exchange import Cell, Nothing, Unmeasured
from conformance.judging.exchange_results import (
    ExchangeHeader,
    ExchangeWriter,
    earlier_cells,
    now,
    read_exchange,
)
from conformance.report.matrix import matrix, square
from conformance.report.text import to_text


def header(cases: tuple[str, ...] = (CASE,)) -> ExchangeHeader:
    versions = {"torchao": "1.0", "diffusers": "1"}
    return ExchangeHeader({"w": versions}, {"r": versions}, cases, GLOBS, now())


def write(path: Path, *cells: Cell, cases: tuple[str, ...] = (CASE,)) -> Path:
    with ExchangeWriter(path, header(cases)) as writer:
        for each in cells:
            writer.write(each)
    return path


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    results = read_exchange(write(tmp_path / "x.jsonl", cell(FAILED)))
    assert results.cells == (cell(FAILED),)
    assert results.complete


def test_a_file_with_fewer_cells_than_planned_is_partial(tmp_path: Path) -> None:
    assert not read_exchange(write(tmp_path / "x.jsonl")).complete


def test_what_was_measured_survives_an_interrupt(tmp_path: Path) -> None:
    def broken_off() -> None:
        with ExchangeWriter(tmp_path / "x.jsonl", header(CASES)) as writer:
            writer.write(cell(EQUAL))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    results = read_exchange(tmp_path / "x.jsonl")
    assert (results.cells, results.complete) == ((cell(EQUAL),), False)


def test_the_cells_of_a_killed_run_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", cell(EQUAL), cases=CASES)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:2], lines[1][:50]]), encoding="utf-8")
    assert earlier_cells(path, header(CASES)) == (cell(EQUAL),)


def test_a_file_of_another_exchange_is_not_continued(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", cell(EQUAL))
    with pytest.raises(UsageError, match="is of another exchange"):
        earlier_cells(path, header(CASES))


def test_a_first_run_continues_nothing(tmp_path: Path) -> None:
    assert earlier_cells(tmp_path / "nowhere.jsonl", header()) == ()


def without_footer(lines: list[str]) -> None:
    del lines[-1]


def other_schema(lines: list[str]) -> None:
    lines[0] = lines[0].replace('"schema": 1', '"schema": 2')


def twice(lines: list[str]) -> None:
    lines.insert(1, lines[1])


def other_count(lines: list[str]) -> None:
    lines[-1] = lines[-1].replace('"failed": 1', '"failed": 2')


def no_header(lines: list[str]) -> None:
    del lines[0]


def cut(lines: list[str]) -> None:
    lines[1] = lines[1][:40]


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (without_footer, "is truncated"),
        (other_schema, "has schema version 2 and this suite reads version 1"),
        (twice, "contradicts itself"),
        (other_count, "contradicts itself"),
        (no_header, "is not the results file of an exchange"),
        (cut, "line 2 is no JSON object"),
    ],
)
def test_a_bad_file_is_one_clear_line(
    damage: Callable[[list[str]], None], match: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.jsonl", cell(FAILED))
    lines = path.read_text(encoding="utf-8").splitlines()
    damage(lines)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UsageError, match=match) as caught:
        read_exchange(path)
    assert "\n" not in str(caught.value)


def test_the_worst_of_several_stands_in_a_square() -> None:
    assert square([cell(EQUAL)]).text == "="
    assert square([cell(EQUAL), cell(FAILED, FAILED)]).text == "F~"
    assert square([cell(FAILED, EQUAL, FAILED)]).text == "Fc"
    assert square([Cell(CASE, "w", "r", nothing=NOT_WRITTEN), cell(EQUAL)]).text == "=~"
    assert square([]).text == "."


NOT_WRITTEN = Nothing(Unmeasured.NOT_WRITTEN, "x")


def test_the_matrix_of_a_file(tmp_path: Path) -> None:
    results = read_exchange(write(tmp_path / "x.jsonl", cell(FAILED, EQUAL, FAILED), cases=CASES))
    kinds: dict[str, Any] = {CASES[0]: "int8wo quantize_", CASES[1]: "int8wo torchao-config"}
    assert to_text(matrix(results, kinds)) == MATRIX


MATRIX = """\
1 writers x 1 readers x 2 cases: 1 of 2 cells measured, 0 of them usable, 1 more would be by their \
weights alone; broken off, 1 cells not run

cells
failed  1

= bits equal  R refused  a altered  F failed  O output differs  C corrupt  - not written  \
/ no environment  ? no result
c: config.json blocks weights that are fine  l: the loader does  ~: the worst of several  .: not run

int8wo quantize_
writer \\ reader  1.0
1.0              Fc

int8wo torchao-config
writer \\ reader  1.0
1.0               .
"""
