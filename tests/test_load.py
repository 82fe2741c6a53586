"""Memory over round trips, and runs whose workers are killed: what counts as flat and as sound."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from called import called
from hypothesis import given
from hypothesis import strategies as st

from conformance.bench import soak
from conformance.bench.load import AIM, MIB, Load, as_json, figures, measure, plot, save
from conformance.bench.soak import Round, Soak, lines_of
from conformance.errors import UsageError
from conformance.judging.summary import ExitCode

CASE = "flux-tiny.int8wo.quantize_.state-dict.cpu"
QUIET = {"a": "pass", "b": "altered"}
GOOD = Round(2, ExitCode.NOT_AS_EXPECTED, ("a", "b"), ("a",), {"b": "altered"})


def load_of(*resident: int) -> Load:
    return Load((CASE,), resident, resident)


def test_what_grows_is_not_flat() -> None:
    grows = load_of(*(100 * MIB + each * 2 * AIM for each in range(100)))
    assert not grows.flat
    assert grows.growth == pytest.approx(2 * AIM)
    assert not load_of(*(100 * MIB + each * (AIM + 200) for each in range(100))).flat


def test_what_grows_only_while_it_warms_up_is_flat() -> None:
    warm = load_of(*(min(each, 19) * MIB for each in range(100)))
    assert warm.flat
    assert warm.growth == 0


def test_one_large_moment_is_not_growth() -> None:
    values = [100 * MIB] * 100
    values[95] = 900 * MIB
    assert load_of(*values).growth == 0


@given(st.integers(0, 4 * AIM), st.integers(20, 400))
def test_growth_is_the_slope_of_a_line(slope: int, trips: int) -> None:
    grown = load_of(*(MIB + each * slope for each in range(trips)))
    assert grown.growth == pytest.approx(slope, rel=0.1, abs=1)


def test_numbers_and_a_plot_are_written(tmp_path: Path) -> None:
    found = load_of(*[50 * MIB] * 10, *[60 * MIB] * 10)
    save(tmp_path / "load.json", found)
    written = json.loads((tmp_path / "load.json").read_text())
    assert written == json.loads(json.dumps(as_json(found)))
    assert (written["trips"], written["flat"]) == (20, False)
    assert written["resident_kib"] == [51200] * 10 + [61440] * 10
    drawn = ElementTree.parse(tmp_path / "load.svg").getroot()
    curves = [each.get("points") or "" for each in drawn if each.tag.endswith("polyline")]
    assert [len(each.split()) for each in curves] == [20, 20]


def test_a_plot_stays_in_its_frame() -> None:
    drawn = ElementTree.fromstring(plot(load_of(*range(1, 1000))))
    *_, width, height = map(float, (drawn.get("viewBox") or "").split())
    for curve in (each for each in drawn if each.tag.endswith("polyline")):
        for point in (curve.get("points") or "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_figures_are_in_their_units() -> None:
    shown = {each.name: (each.measured, each.unit) for each in figures(load_of(*[64 * MIB] * 20))}
    assert shown["resident at the end"] == (64, "MiB")
    assert shown["growth for each further trip"] == (0, "KiB")


def test_few_trips_say_nothing() -> None:
    with pytest.raises(UsageError, match="fewer than 10"):
        measure([CASE], 9, lambda _: None)


def test_a_path_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written: .*; name another"):
        save(tmp_path / "no" / "load.json", load_of(*[1] * 10))


@pytest.mark.slow
def test_round_trips_are_made_in_one_process() -> None:
    told: list[int] = []
    found = measure([CASE, CASE.replace("state-dict", "pickle")], 12, told.append)
    assert told == [*range(1, 13)]
    assert len(found.resident) == len(found.own) == 12
    assert all(resident >= own > 0 for resident, own in zip(found.resident, found.own, strict=True))


@pytest.mark.slow
def test_a_case_without_a_result_is_named() -> None:
    case = "flux-tiny.codebook4-coreml.quantize_.pickle.cpu"
    with pytest.raises(UsageError, match=rf"^{case} has no result: .*leave it out"):
        measure([case], 10, lambda _: None)


# Soak


def test_killed_cases_that_are_told_are_sound() -> None:
    assert Soak(QUIET, (GOOD, GOOD)).sound


@pytest.mark.parametrize(
    ("changed", "what", "cases"),
    [
        ({"lines": ("b",)}, "lost", ("a",)),
        ({"lines": ("a", "b", "b")}, "twice", ("b",)),
        ({"verdicts": {"b": "pass"}}, "otherwise", ("b",)),
        ({"verdicts": {"b": "altered", "c": "pass"}}, "otherwise", ("c",)),
        ({"code": ExitCode.AS_EXPECTED}, "uncounted", 1),
    ],
)
def test_what_is_not_sound(changed: dict[str, object], what: str, cases: object) -> None:
    bad = Soak(QUIET, (GOOD, replace(GOOD, **changed)))  # type: ignore[arg-type]
    assert getattr(bad, what) == cases
    assert not bad.sound
    assert bad.as_json()["sound"] is False


def test_a_soak_is_counted() -> None:
    told = Soak(QUIET, (GOOD, GOOD)).as_json()
    assert {key: told[key] for key in ("cases", "rounds", "kills", "results", "killed")} == {
        "cases": 2,
        "rounds": 2,
        "kills": 4,
        "results": 4,
        "killed": 2,
    }


def test_lines_are_counted_in_the_file_itself() -> None:
    line = {"line": "case", "outcome": {"case": "a"}}
    lines = map(json.dumps, ({"line": "header"}, line, line, {"line": "footer"}))
    assert [*lines_of(lines)] == ["a", "a"]


def test_a_run_that_did_not_survive_has_lost_everything(tmp_path: Path) -> None:
    died = soak._read(tmp_path / "nothing.jsonl", 1, 2)
    assert died == Round(1, 2, (), (), {})
    assert Soak(QUIET, (died,)).lost == ("a", "b")


def test_a_process_without_workers_has_none() -> None:
    assert soak.workers_of(2**22 - 1) == set()


@pytest.mark.slow
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    command = ["bench", "soak", "-s", "flux-tiny.int8wo.*.cpu", "--minutes", "1", "--json"]
    said = called(*command, where=tmp_path)
    told = json.loads(said.stdout)
    assert said.returncode == 0, said.stdout
    assert told["kills"] > 0
    assert told["results"] == told["cases"] * told["rounds"]
    assert told["sound"] is True
