"""uv is told what people told pip, unless they told uv something else."""

import pytest

from conformance.roundtrip.disk import no_space
from conformance.versions.uv import pip_settings, unreachable, uv_arguments, uv_variables, words

LISTING = """\
:env:.find-links='/wheels /more'
global.find-links='/overruled'
global.extra-index-url='https://a.example/simple https://b.example/simple'
global.constraint='/c.txt'
install.pre='1'
list.format='columns'
"""


def test_pips_variables_overrule_its_files() -> None:
    assert pip_settings(LISTING) == {
        "find-links": "/wheels /more",
        "extra-index-url": "https://a.example/simple https://b.example/simple",
        "constraint": "/c.txt",
        "pre": "1",
    }
    assert pip_settings("") == {}


def test_uv_takes_what_it_has_no_setting_for() -> None:
    given = uv_variables({"HOME": "/home/me"}, pip_settings(LISTING))
    assert given == {
        "HOME": "/home/me",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_EXTRA_INDEX_URL": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_CONSTRAINT": "/c.txt",
        "UV_PRERELEASE": "allow",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }


@pytest.mark.parametrize(
    ("mine", "left_out"),
    [
        ({"UV_FIND_LINKS": "/mine"}, "UV_EXCLUDE"),
        ({"UV_INDEX": "https://mine.example"}, "UV_EXTRA_INDEX_URL"),
        ({"UV_INDEX": "https://mine.example"}, "UV_INDEX_STRATEGY"),
        ({"UV_INDEX_STRATEGY": "first-index"}, "UV_EXCLUDE"),
        ({"UV_PRERELEASE": "disallow"}, "UV_EXCLUDE"),
    ],
)
def test_what_uv_was_told_stays(mine: dict[str, str], left_out: str) -> None:
    given = uv_variables(mine, pip_settings(LISTING))
    assert mine.items() <= given.items()
    assert left_out not in given


def test_an_index_of_pip_is_uvs_default_index() -> None:
    pip = {"index-url": "https://a.example"}
    assert uv_variables({}, pip)["UV_DEFAULT_INDEX"] == "https://a.example"
    old = uv_variables({"UV_INDEX_URL": "https://mine.example"}, pip)
    assert "UV_DEFAULT_INDEX" not in old


def test_nothing_of_the_callers_interpreter_comes_along() -> None:
    given = uv_variables({"PYTHONPATH": "/x", "VIRTUAL_ENV": "/y", "OMP_NUM_THREADS": "2"}, {})
    assert given == {"OMP_NUM_THREADS": "2", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def test_no_index_is_an_argument() -> None:
    assert uv_arguments({"no-index": "1"}) == ("--no-index",)
    assert uv_arguments({"no-index": "0"}) == ()
    assert uv_arguments({}) == ()


NEW = "error: No solution found\n  cause: Because a, b.\n\nhint: Say c.\n"
OLD = "Using Python 3.11\n  \xd7 No solution found:\n  \u2570\u2500\u25b6 Because a\n      and b.\n"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (NEW, "No solution found Because a, b. hint: Say c."),
        (OLD, "No solution found: Because a and b."),
        ("warning: old\n", ""),
    ],
)
def test_its_words_are_one_line(said: str, line: str) -> None:
    assert words(said) == line


FETCH = "Failed to fetch: http://i/simple/a/"
UNSATISFIABLE = "Because a was not found in the {} and you require a, we can conclude that ..."


@pytest.mark.parametrize(
    ("said", "silent"),
    [
        (f"{FETCH} error sending request for url (http://i/) dns error", True),
        (f"{FETCH} HTTP status server error (503 Service Unavailable) for url", True),
        (f"{FETCH} HTTP status client error (429 Too Many Requests) for url", True),
        (f"{FETCH} HTTP status client error (404 Not Found) for url", False),
        ("Network connectivity is disabled, but the requested data wasn't found in", True),
        (f"{UNSATISFIABLE.format('cache')} hint: because the network was disabled.", True),
        (f"{UNSATISFIABLE.format('package registry')} hint: (401 Unauthorized)", True),
        (UNSATISFIABLE.format("package registry"), False),
        (UNSATISFIABLE.format("provided package locations"), False),
        ("fatal: unable to access 'https://h/a/': Could not resolve host: h", True),
        ("fatal: couldn't find remote ref gone", False),
    ],
)
def test_an_index_that_gives_no_answer_is_known(said: str, silent: bool) -> None:
    assert unreachable(said) is silent


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ("failed to copy: No space left on device (os error 28)", True),
        ("Disk quota exceeded", True),
        ("Connection refused (os error 111)", False),
        ("os error 280", False),
    ],
)
def test_a_full_disk_is_known(said: str, full: bool) -> None:
    assert no_space(said) is full
