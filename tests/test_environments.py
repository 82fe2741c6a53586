"""Environments as data: what can be meant is read, what cannot is one line."""

from pathlib import Path

import pytest
from fake_index import toyquant
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from conformance.errors import UsageError
from conformance.versions.environments import (
    Environment,
    Environments,
    find,
    load_environments,
    wanted,
    with_requirement,
)

NEWEST = Environment("newest", ("torch==2.13.0", "torchao==0.18.0"))
KNOWN = Environments("mine.toml", {"newest": NEWEST}, ("torch==2.13.0",))
ONE = '[[environment]]\nname = "one"\nrequirements = ["torchao==0.17.0"]\n'


def load(folder: Path, text: str) -> Environments:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_environments(path)


def test_every_key_is_read(tmp_path: Path) -> None:
    text = ONE + 'title = "t"\npython = "3.12"\nheavy = true\nsuite = "mine==1"\n'
    expected = Environment("one", ("torchao==0.17.0",), "t", "3.12", True, "mine==1")
    assert load(tmp_path, text).named == {"one": expected}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[environment", "cannot read the environments"),
        ('[environment]\nname = "one"', "write [[environment]] with two brackets"),
        (ONE + ONE, "two environments are named 'one'"),
        (ONE + "hevy = true", "environment 'one': unknown key 'hevy'; did you mean 'heavy'?"),
        (ONE + 'heavy = "yes"', '"heavy" must be true or false'),
        (ONE.replace("one", "a b"), '"name" may hold letters'),
        ('[[environment]]\nname = "one"', 'the key "requirements" is missing'),
        (ONE.replace("==", " = "), "'torchao = 0.17.0' is no requirement"),
        (ONE.replace("torchao==0.17.0", "./gone-1-py3-none-any.whl"), "there is no file './gone"),
        ("[adhoc]\n" + ONE, "unknown key 'adhoc'; did you mean 'ad_hoc'?"),
        ("[ad_hoc]\nrequirement = []\n" + ONE, "unknown key 'requirement'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_environments_pin_what_they_are_named_after() -> None:
    named = load_environments().named
    pins = {name: str(wanted(each)["torchao"]) for name, each in named.items()}
    assert pins == {name: f"=={name.removeprefix('torchao')}" for name in named}
    for each in named.values():
        assert {"torch", "torchao", "diffusers"} <= wanted(each).keys()


def test_only_those_with_an_old_torch_are_heavy() -> None:
    for each in load_environments().named.values():
        assert each.heavy == (not wanted(each)["torch"].contains("2.13.0")), each.name


def test_a_name_is_found() -> None:
    assert find("newest", KNOWN) is NEWEST


def test_ad_hoc_requirements_are_completed_by_what_they_do_not_name() -> None:
    made = find("torchao==0.17.0  diffusers>=0.42", KNOWN)
    assert made.requirements == ("torchao==0.17.0", "diffusers>=0.42", "torch==2.13.0")
    assert made.name == "torchao0.17.0,diffusers>=0.42"
    assert find("Torch==2.12.0 torchao==0.17.0", KNOWN).requirements[0] == "Torch==2.12.0"
    assert len(find("Torch==2.12.0 torchao==0.17.0", KNOWN).requirements) == 2


def test_git_and_nightly_requirements_are_taken() -> None:
    git = "torchao @ git+https://example.org/ao.git@main diffusers==0.42.1"
    assert find(git, KNOWN).requirements[0] == "torchao @ git+https://example.org/ao.git@main"
    nightly = find("torchao==0.19.0.dev20260101", KNOWN)
    assert wanted(nightly)["torchao"].contains("0.19.0.dev20260101", prereleases=True)


def test_a_wheel_must_be_the_version_that_its_name_says(tmp_path: Path) -> None:
    path = toyquant(tmp_path, "1.0")
    made = find(f"./{path.name}", KNOWN, tmp_path)
    assert made.requirements[0] == f"toyquant @ {path.as_uri()}"
    assert made.name == "toyquant1.0"
    assert str(wanted(made)["toyquant"]) == "==1.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("newst", "no environment 'newst' in mine.toml; did you mean 'newest'?"),
        ("torchao0.17.0", "Requirements need a version: 'torchao==0.17.0'"),
        ("torchao >=0.17", "'>=0.17' is no requirement; write one like \"torchao==0.17.0\""),
        ("torchao=0.17.0", "'torchao=0.17.0' is no requirement"),
        ("./here torchao==0.17.0", "'./here' is a directory; build a wheel of it"),
        ("./gone-1-py3-none-any.whl", "there is no file './gone-1-py3-none-any.whl'"),
        ("./odd.whl", "odd.whl is not named like a wheel or source archive"),
    ],
)
def test_a_bad_ad_hoc_environment_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "odd.whl").touch()
    with pytest.raises(UsageError) as caught:
        find(text, KNOWN, tmp_path)
    assert said in str(caught.value)


def test_one_package_is_put_in_the_place_of_its_own() -> None:
    moved = with_requirement(NEWEST, "torchao==0.17.0")
    assert moved.requirements == ("torchao==0.17.0", "torch==2.13.0")
    assert moved.name == "newest,torchao0.17.0"


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(
    lambda parts: ".".join(map(str, parts))
)


@given(st.dictionaries(NAMES, VERSIONS, min_size=1, max_size=4))
def test_pins_come_back_from_an_ad_hoc_environment(pins: dict[str, str]) -> None:
    made = find(" ".join(f"{name}=={version}" for name, version in pins.items()), KNOWN)
    own = [Requirement(text) for text in made.requirements[: len(pins)]]
    assert {each.name: str(each.specifier) for each in own} == {
        name: f"=={version}" for name, version in pins.items()
    }
    assert ("torch" in pins) == (len(made.requirements) == len(pins))
