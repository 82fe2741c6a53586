"""The tutorials do what they say, and commands print what the pages show."""

import os
import re
from pathlib import Path

import pytest
from tutorial import Step, checkout, done, followed, matches, steps, written_anew

from conformance.report.site import TUTORIALS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
ELSEWHERE = {"gate-your-upgrade": "makes environments of real releases: ci/real-gate.sh runs it"}
"""Tutorials that are not followed here, and why."""


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_every_page_is_a_tutorial_of_the_site() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(TUTORIALS)
    assert ELSEWHERE.keys() < set(TUTORIALS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TUTORIALS) - ELSEWHERE.keys()))
def test_a_tutorial_is_followed(name: str, tmp_path: Path) -> None:
    text = page(name)
    differ = [
        f"$ {step.command}\n{said}"
        for step, said in followed(text, tmp_path, checkout(tmp_path))
        if not matches(step.shown, said)
    ]
    assert not differ, f"python tests/tutorial.py docs/tutorials/{name}.md\n" + "\n".join(differ)


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_shows_what_is_printed_and_no_folder_of_a_machine(name: str) -> None:
    text = page(name)
    commands = [step for step in steps(text) if step.command]
    assert len(commands) > 2
    assert sum(1 for step in commands if step.shown) > len(commands) / 2
    assert not re.search(r"/(?:tmp|home|root|usr)/", text)


def test_the_gate_of_the_tutorial_is_the_one_that_is_run() -> None:
    first = next(step for step in steps(page("gate-your-upgrade")) if step.command)
    script = (ROOT / "ci" / "real-gate.sh").read_text(encoding="utf-8")
    asked = re.sub(r"\s*\\\n\s*", " ", first.command)
    assert asked in re.sub(r"\s*\\\n\s*", " ", script)
    (expected,) = re.findall(r'^expected="(.*)"$', script, re.MULTILINE)
    assert first.shown.splitlines()[0] == expected


# The runner of tutorials

TEXT = """\
# A page

```json title="a/b.json"
{}
```

```console
$ cat a/b.json \\
>   && echo done in 0.31s
{}
done in 0.52s
```

````console
$ printf '```\\n1\\n2\\n3\\n'; exit 3
```
...
3
````

```sh
not run
```
"""


def test_a_page_is_read() -> None:
    assert [(each.path, each.command, each.shown) for each in steps(TEXT)] == [
        ("a/b.json", "", "{}\n"),
        ("", "cat a/b.json \\\n  && echo done in 0.31s", "{}\ndone in 0.52s\n"),
        ("", "printf '```\\n1\\n2\\n3\\n'; exit 3", "```\n...\n3\n"),
    ]
    assert [TEXT[begin:end] for each in steps(TEXT) for begin, end in [each.span]] == [
        each.shown for each in steps(TEXT)
    ]


def test_a_quotation_in_what_is_printed_is_no_command() -> None:
    (step,) = steps("```console\n$ cat issue.md\nsaid\n> quoted\n```\n")
    assert (step.command, step.shown) == ("cat issue.md", "said\n> quoted\n")


def test_a_page_is_followed(tmp_path: Path) -> None:
    said = [said for _, said in followed(TEXT, tmp_path, os.environ)]
    assert said == ["{}\n", "{}\ndone in 0.31s\n", "```\n1\n2\n3\n"]
    assert all(matches(step.shown, done(step, tmp_path, os.environ)) for step in steps(TEXT))


def test_a_page_that_is_right_stays_as_it_is(tmp_path: Path) -> None:
    assert written_anew(TEXT, tmp_path, os.environ) == TEXT


def test_a_page_that_is_wrong_is_written_anew(tmp_path: Path) -> None:
    wrong = TEXT.replace("{}\ndone", "{ }\ndone").replace("...\n3", "...\n4")
    right = TEXT.replace("0.52s", "0.31s").replace("...\n", "1\n2\n")
    assert written_anew(wrong, tmp_path, os.environ) == right


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("save 3 ms  load\n", "save 12 ms load\n", True),
        ("save 3 ms  load\n", "save        load\n", True),
        ("took 3.1 s\n", "took 4 s\n", True),
        ("torch 2.13.0+cpu\n", "torch 2.13.0+cu130\n", True),
        ("torch 2.13.0+cpu\n", "torch 2.13.0\n", True),
        ("torch 2.13.0\n", "torch 2.13.1\n", False),
        ("python 3.11.7\n", "python 3.11.12\n", True),
        ("python 3.11.7\n", "python 3.12.7\n", False),
        (".....   [100%]\n", "........ [100%]\n", True),
        (".....   [100%]\n", "...F.... [100%]\n", False),
        ("save 3 MB\n", "save 4 MB\n", False),
        ("a\n", "a\nb\n", False),
        ("a\nb\n", "a\n", False),
        ("", "a\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("two ... dots\n", "two or three dots\n", False),
        (".*\n", "a\n", False),
    ],
)
def test_what_matches(shown: str, said: str, same: bool) -> None:
    assert matches(shown, said) is same


def test_a_step_prints_no_colours_and_no_progress(tmp_path: Path) -> None:
    step = Step("", "echo out; echo progress >&2; echo $COLUMNS", "", (0, 0))
    assert done(step, tmp_path, {}) == "out\n100\n"
