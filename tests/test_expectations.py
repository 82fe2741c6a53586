"""Expectation files are strict: whatever cannot be meant is one line that says how to mend it."""

import re
from pathlib import Path

import pytest

from conformance.errors import UsageError
from conformance.judging.excuses import Differs, Ends, Raises, describe
from conformance.judging.expectations import (
    Expectation,
    Kind,
    active,
    load_expectations,
    packaged,
)
from conformance.roundtrip.outcome import (
    Failure,
    Finding,
    Harm,
    NoResult,
    NoResultKind,
    Reader,
    Stage,
)

CASES = ("toy.int8.direct.pickle.cpu", "toy.int8.direct.safetensors.cpu")
CHECKS = frozenset({"bits", "keys"})

REFUSES = {
    "name": '"refuses"',
    "kind": '"unsupported"',
    "cases": '["*.safetensors.cpu"]',
    "stage": '"save"',
    "raises": '"ValueError"',
    "match": '"not supported"',
    "reason": '"Tensors of this class cannot be flattened."',
}
BUG = {
    **REFUSES,
    "name": '"bug"',
    "kind": '"known-bug"',
    "issue": '"https://example.org/1"',
}
DIFFERS = {
    "name": '"differs"',
    "kind": '"known-bug"',
    "cases": '["toy.*"]',
    "stage": '"bits"',
    "check": '"bits"',
    "what": '"bits differ"',
    "issue": '"https://example.org/2"',
    "reason": '"The scale is lost."',
}
DIES = {
    "name": '"dies"',
    "kind": '"flaky"',
    "cases": '["toy.*"]',
    "no_result": '"killed"',
    "reason": '"It runs out of file handles."',
}


def entry(base: dict[str, str], **changes: str | None) -> str:
    """One table as TOML; a change to None drops the key."""
    keys = {key: value for key, value in {**base, **changes}.items() if value is not None}
    return "[[expectation]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def load(folder: Path, *entries: str) -> tuple[Expectation, ...]:
    path = folder / "mine.toml"
    path.write_text("\n".join(entries), encoding="utf-8")
    return load_expectations([path], CHECKS, CASES)


def test_no_file_declares_nothing() -> None:
    assert load_expectations([], CHECKS, CASES) == ()


def test_an_empty_file_declares_nothing(tmp_path: Path) -> None:
    assert load(tmp_path) == ()


def test_packaged_files_are_toml_in_order() -> None:
    names = [file.name for file in packaged()]
    assert names == sorted(names)
    assert all(name.endswith(".toml") for name in names)


def test_a_refusal_is_read(tmp_path: Path) -> None:
    (read,) = load(tmp_path, entry(REFUSES, versions='{ torchao = ">=0.15,<0.19" }'))
    assert (read.name, read.kind) == ("refuses", Kind.UNSUPPORTED)
    assert read.excuse == Raises(Stage.SAVE, "ValueError", re.compile("not supported"), ())
    assert str(read.versions["torchao"]) == "<0.19,>=0.15"
    assert [read.about(case) for case in CASES] == [False, True]


def test_a_finding_is_read(tmp_path: Path) -> None:
    (read,) = load(tmp_path, entry(DIFFERS, path='".*scale"', reader='"fresh"'))
    assert read.excuse == Differs(
        Stage.BITS, "bits", re.compile("bits differ"), re.compile(".*scale"), Reader.FRESH
    )


def test_an_ending_is_read(tmp_path: Path) -> None:
    (read,) = load(tmp_path, entry(DIES, stage='"load"'))
    assert read.excuse == Ends(NoResultKind.KILLED, Stage.LOAD)


def test_an_ending_is_read_with_its_reason(tmp_path: Path) -> None:
    (read,) = load(tmp_path, entry(DIES, match='"SIGSEGV"'))
    assert read.excuse == Ends(NoResultKind.KILLED, None, re.compile("SIGSEGV"))


def test_several_files_are_read_in_their_order(tmp_path: Path) -> None:
    for name, text in (("b.toml", entry(REFUSES)), ("a.toml", entry(DIFFERS))):
        (tmp_path / name).write_text(text)
    read = load_expectations([tmp_path / "b.toml", tmp_path / "a.toml"], CHECKS, CASES)
    assert [each.name for each in read] == ["refuses", "differs"]


def test_an_issue_that_was_not_found_says_where_it_was_searched(tmp_path: Path) -> None:
    changes = {"issue": '"none found"', "searched": '"torchao issues, 2 words"'}
    (read,) = load(tmp_path, entry(BUG, **changes))
    assert read.searched == "torchao issues, 2 words"


def test_leftovers_of_a_known_bug_are_free_unless_listed(tmp_path: Path) -> None:
    listed = entry(BUG, name='"listed"', leftovers='["*.json"]')
    free, exact = (each.excuse for each in load(tmp_path, entry(BUG), listed))
    assert isinstance(free, Raises)
    assert isinstance(exact, Raises)
    assert (free.leftovers, exact.leftovers) == (None, ("*.json",))


WRONG: list[tuple[str, str]] = [
    (entry(REFUSES, mach='"x"'), "unknown key 'mach'; did you mean 'match'"),
    (entry(REFUSES, name=None), 'number 1: the key "name" is missing'),
    (entry(REFUSES, name="3"), '"name" must be a text'),
    (entry(REFUSES, name='"a bug"'), '"name" may hold letters, digits'),
    (entry(REFUSES, reason=None), 'the key "reason" is missing'),
    (entry(REFUSES, reason='" "'), '"reason" must be a text that is not empty'),
    (entry(REFUSES, kind='"known_bug"'), "unknown kind 'known_bug'; did you mean 'known-bug'"),
    (entry(REFUSES, kind=None), 'the key "kind" is missing'),
    (entry(REFUSES, cases=None), 'the key "cases" is missing'),
    (entry(REFUSES, cases="[]"), "is missing; give a list of globs"),
    (entry(REFUSES, cases='"toy.*"'), '"cases" must be a list of texts'),
    (entry(REFUSES, cases='["*.safetensor.cpu"]'), "'*.safetensor.cpu' matches no case"),
    (entry(REFUSES, cases='["toy.*", "tyo.*"]'), "'tyo.*' matches no case"),
    (entry(REFUSES, stage='"sav"'), "unknown stage 'sav'; did you mean 'save'"),
    (entry(REFUSES, stage=None), 'the key "stage" is missing'),
    (entry(REFUSES, stage='"load"'), "a refusal at load comes too late"),
    (entry(REFUSES, leftovers='["config.json"]'), "a refusal leaves nothing behind"),
    (entry(REFUSES, match=None), 'the key "match" is missing'),
    (entry(REFUSES, match='"(oops"'), '"match" is no regular expression'),
    (entry(REFUSES, match='".*"'), "\"match\" is '.*', which also matches nothing"),
    (entry(REFUSES, raises=None, match=None), 'exactly one of "raises", "check"'),
    (entry(REFUSES, check='"bits"'), '"check" and "no_result"'),
    (entry(REFUSES, what='"bits differ"'), "unknown key 'what'"),
    (entry(REFUSES, reader='"frehs"'), "unknown reader 'frehs'; did you mean 'fresh'"),
    (entry(REFUSES, versions='">=1"'), '"versions" must be a table'),
    (entry(REFUSES, versions='{ torchao = ">=0.15 <1" }'), "'>=0.15 <1' is no version set"),
    (entry(REFUSES, versions='{ torchao = "" }'), "versions of torchao: '' is no version set"),
    (entry(REFUSES, versions='{ torcha = ">1" }'), "distribution 'torcha'; did you mean 'torchao'"),
    (entry(DIFFERS, kind='"unsupported"'), 'kind "unsupported" is a refusal'),
    (entry(DIFFERS, check='"bit"'), "unknown check 'bit'; did you mean 'bits'"),
    (entry(DIFFERS, check='"zzz"'), "unknown check 'zzz'; known: bits, keys"),
    (entry(DIFFERS, what='"["'), '"what" is no regular expression'),
    (entry(DIFFERS, path='"*"'), '"path" is no regular expression'),
    (entry(DIFFERS, match='"x"'), "unknown key 'match'"),
    (entry(BUG, issue=None), 'a known bug needs an "issue"'),
    (entry(BUG, issue='"http://example.org"'), "give an https link"),
    (entry(BUG, issue='"none found"'), "say where you looked"),
    (entry(BUG, searched='"everywhere"'), '"searched" go together'),
    (entry(DIES, no_result='"skipped"'), "a skipped case needs no expectation"),
    (entry(DIES, no_result='"kiled"'), "unknown no_result 'kiled'; did you mean 'killed'"),
    (entry(DIES, reader='"fresh"'), "unknown key 'reader'"),
    (entry(DIES) + entry(DIES), "expectation 'dies': the name is taken in mine.toml"),
]


@pytest.mark.parametrize(("text", "line"), WRONG, ids=[line for _, line in WRONG])
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UsageError, match=re.escape(line)) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith("mine.toml: expectation ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[[expectation]", "not a TOML file"),
        (b"\xff", "not a TOML file"),
        (b"expectation = 3", "holds `[[expectation]]` tables and nothing else"),
        (b"[expectations]", "holds `[[expectation]]` tables and nothing else"),
        (b"expectation = [1]", "holds `[[expectation]]` tables and nothing else"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(line)) as caught:
        load_expectations([path], CHECKS, CASES)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml: cannot read the expectations"):
        load_expectations([tmp_path / "nowhere.toml"], CHECKS, CASES)


@pytest.mark.parametrize(
    ("specifiers", "version", "holds"),
    [
        (">=0.15,<0.19", "0.15.0", True),
        (">=0.15,<0.19", "0.18.1", True),
        (">=0.15,<0.19", "0.19.0", False),
        (">=0.15,<0.19", "0.14.9", False),
        (">=0.15,<0.19", "0.18.1.dev20260101+cpu", True),
        (">=0.19.dev0", "0.19.0.dev20260101", True),
        ("<0.19.dev0", "0.19.0.dev20260101", False),
        ("==0.18.0", "0.18.0+cu128", True),
    ],
)
def test_versions_are_those_observed(
    tmp_path: Path, specifiers: str, version: str, holds: bool
) -> None:
    declared = load(tmp_path, entry(REFUSES, versions=f'{{ torchao = "{specifiers}" }}'))
    assert bool(active(declared, {"torchao": version})) is holds


def test_every_distribution_must_hold(tmp_path: Path) -> None:
    versions = '{ torchao = ">=0.15", huggingface_hub = "<2" }'
    declared = load(tmp_path, entry(REFUSES, versions=versions))
    assert active(declared, {"torchao": "0.18.0", "huggingface_hub": "1.9"}) == declared
    assert active(declared, {"torchao": "0.18.0", "huggingface_hub": "2.4.0"}) == ()


def test_what_is_not_installed_is_in_no_version_set(tmp_path: Path) -> None:
    declared = load(tmp_path, entry(REFUSES, versions='{ mslk = ">=1" }'))
    assert active(declared, {"torchao": "0.18.0"}) == ()


def test_without_versions_it_always_holds(tmp_path: Path) -> None:
    declared = load(tmp_path, entry(REFUSES))
    assert active(declared, {}) == declared


def test_an_observed_version_must_be_one(tmp_path: Path) -> None:
    declared = load(tmp_path, entry(REFUSES, versions='{ torchao = ">=1" }'))
    with pytest.raises(UsageError, match=r"'git-abc', which is not a PEP 440 version"):
        active(declared, {"torchao": "git-abc"})


RAISES = Raises(Stage.SAVE, "ValueError", re.compile("not supported"), reader=Reader.SAME)


@pytest.mark.parametrize(
    ("failure", "differences"),
    [
        (Failure(Stage.SAVE, "ValueError", "x is not supported"), ()),
        (Failure(Stage.SAVE, "some.ValueError", "x is not supported"), ()),
        (Failure(Stage.LOAD, "ValueError", "x is not supported"), ("stage",)),
        (Failure(Stage.SAVE, "TypeError", "x is not supported"), ("type",)),
        (Failure(Stage.SAVE, "ValueError", "it broke"), ("message",)),
        (
            Failure(Stage.SAVE, "OSError", "it broke", reader=Reader.FRESH),
            ("type", "message", "reader"),
        ),
    ],
)
def test_a_failure_is_foreseen_in_every_part(
    failure: Failure, differences: tuple[str, ...]
) -> None:
    assert RAISES.differences(failure) == differences


@pytest.mark.parametrize(
    ("globs", "files", "same"),
    [
        (None, ("a.json",), True),
        ((), (), True),
        ((), ("a.json",), False),
        (("*.json",), ("a.json", "b.json"), True),
        (("*.json",), (), False),
        (("*.json",), ("a.json", "b.bin"), False),
    ],
)
def test_leftovers_are_an_exact_set(
    globs: tuple[str, ...] | None, files: tuple[str, ...], same: bool
) -> None:
    excuse = Raises(Stage.SAVE, "E", re.compile("x"), globs)
    failure = Failure(Stage.SAVE, "E", "x", leftovers=files)
    assert excuse.differences(failure) == (() if same else ("leftovers",))


FOUND = Finding("bits", Stage.BITS, Harm.CORRUPT, "a.weight/scale", "bits differ", "1", "2")


@pytest.mark.parametrize(
    ("excuse", "differences"),
    [
        (Differs(Stage.BITS, "bits", re.compile("bits differ")), ()),
        (Differs(Stage.BITS, "bits", re.compile("bits .*"), re.compile(r".*/scale")), ()),
        (Differs(Stage.BITS, "bits", re.compile("bits")), ("what",)),
        (Differs(Stage.BITS, "bits", re.compile("bits .*"), re.compile("scale")), ("path",)),
        (Differs(Stage.SIZE, "keys", re.compile("bits .*")), ("stage", "check")),
        (Differs(Stage.BITS, "bits", re.compile("bits .*"), reader=Reader.FRESH), ("reader",)),
    ],
)
def test_a_finding_is_foreseen_in_every_part(excuse: Differs, differences: tuple[str, ...]) -> None:
    assert excuse.differences(FOUND) == differences


@pytest.mark.parametrize(
    ("excuse", "differences"),
    [
        (Ends(NoResultKind.KILLED), ()),
        (Ends(NoResultKind.KILLED, Stage.LOAD), ()),
        (Ends(NoResultKind.KILLED, Stage.SAVE), ("stage",)),
        (Ends(NoResultKind.TIMEOUT), ("ending",)),
        (Ends(NoResultKind.KILLED, match=re.compile("SIGKILL")), ()),
        (Ends(NoResultKind.KILLED, match=re.compile("SIGSEGV")), ("reason",)),
    ],
)
def test_an_ending_is_foreseen_in_every_part(excuse: Ends, differences: tuple[str, ...]) -> None:
    assert excuse.differences(NoResult(NoResultKind.KILLED, "SIGKILL", Stage.LOAD)) == differences


@pytest.mark.parametrize("excuse", [RAISES, Differs(Stage.BITS, "bits", re.compile("x"))])
def test_an_excuse_foresees_no_other_kind_of_event(excuse: Raises | Differs) -> None:
    assert excuse.differences(NoResult(NoResultKind.KILLED, "SIGKILL")) == ("kind",)


def test_an_event_is_described_on_one_line() -> None:
    failure = Failure(Stage.SAVE, "E", "a\nb " + "x" * 999, leftovers=("c.json",))
    line = describe(failure)
    assert line.startswith("E 'a b xxx")
    assert line.endswith("…' at save, leaving c.json")
    assert len(line) < 350


def test_an_exception_that_matches_no_case_is_an_error(tmp_path: Path) -> None:
    (bug,) = load(tmp_path, entry(BUG, **{"except": '["toy.int8.direct.s*"]'}))
    assert bug.exceptions == ("toy.int8.direct.s*",)
    with pytest.raises(UsageError, match="matches no case"):
        load(tmp_path, entry(BUG, **{"except": '["toy.typo.*"]'}))
