"""Reviewed exceptions are read strictly: what is wrong is one line that names the mend."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.judging.accept import load_acceptances
from conformance.judging.compare import Change

TODAY = date(2026, 3, 1)
CASES = ("toy.int8.pickle.cpu", "toy.int4.pickle.cpu")
ENTRY = {
    "name": '"seen"',
    "cases": '["toy.int8.*"]',
    "changes": '["regressed"]',
    "cause": '"KeyError"',
    "reason": '"We rewrite them."',
    "reviewed-by": '"A. Reviewer"',
    "date": "2026-01-31",
    "until": "2026-06-30",
}


def exceptions(folder: Path, *entries: Mapping[str, str]) -> Path:
    tables = ("\n".join(f"{key} = {value}" for key, value in each.items()) for each in entries)
    path = folder / "accept.toml"
    path.write_text("".join(f"[[exception]]\n{table}\n" for table in tables))
    return path


def test_an_exception_is_read(tmp_path: Path) -> None:
    (read,) = load_acceptances(exceptions(tmp_path, ENTRY), CASES, TODAY)
    assert read.covers(CASES[0], Change.REGRESSED, "load-failed at load: KeyError: 'scale'")
    assert (read.reviewed, read.until) == (date(2026, 1, 31), date(2026, 6, 30))
    assert (read.reviewed_by, read.reason) == ("A. Reviewer", "We rewrite them.")


def test_an_exception_without_end_is_read(tmp_path: Path) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != "until"}
    (read,) = load_acceptances(exceptions(tmp_path, entry), CASES, TODAY)
    assert not read.expired(date.max)


@pytest.mark.parametrize("key", [key for key in ENTRY if key != "until"])
def test_every_key_of_an_exception_is_required(tmp_path: Path, key: str) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != key}
    with pytest.raises(UsageError, match=f'"{key}" is missing'):
        load_acceptances(exceptions(tmp_path, entry), CASES, TODAY)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        (
            "changes",
            '["fixed"]',
            "unknown blocking change 'fixed'; known: lost, regr",
        ),
        ("changes", '["regresed"]', "did you mean 'regressed'"),
        ("changes", "[]", "missing or empty"),
        ("cases", '["toy.int9.*"]', "matches no case"),
        ("cause", '".*"', "also matches nothing"),
        ("cause", '"("', "no regular expression"),
        ("date", '"2026-01-31"', "must be a date"),
        ("date", "2026-01-31T10:00:00", "must be a date"),
        ("date", "2026-03-02", "which is to come"),
        ("until", "2026-01-30", "before the review"),
        ("reason", '" "', "not empty"),
        ("reviewer", '"me"', "did you mean 'reviewed-by'"),
    ],
)
def test_a_wrong_exception_is_said_in_one_line(
    tmp_path: Path, key: str, value: str, line: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(line)) as raised:
        load_acceptances(exceptions(tmp_path, {**ENTRY, key: value}), CASES, TODAY)
    assert len(str(raised.value).splitlines()) == 1
    assert "accept.toml: exception 'seen'" in str(raised.value)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the name is taken"):
        load_acceptances(exceptions(tmp_path, ENTRY, ENTRY), CASES, TODAY)


def test_a_file_of_exceptions_holds_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "accept.toml"
    path.write_text("[[expectation]]\n")
    with pytest.raises(UsageError, match=r"holds `\[\[exception\]\]` tables and nothing else"):
        load_acceptances(path, CASES, TODAY)
