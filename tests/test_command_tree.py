"""Every command, also those that are to come: help, `--json`, completion, plain output, errors."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from test_results import write

from conformance import cli
from conformance.case import all_cases
from conformance.commands import complete
from conformance.commands.lazy import Lazy, loaded

ROOT = Path(__file__).parents[1]
CASE = "flux-tiny.int8wo.quantize_.safetensors.cpu"
NO_DATA = {
    "run": "writes a results file; `show` and `compare` print it",
    "report": "writes an HTML file",
    "envs clean": "removes",
    "envs refresh": "prints a diff for `git apply`",
    "golden make": "writes golden files",
    "summary": "tells a results file to CI, in formats of CI",
    "repro": "prints a script, or an issue",
}
"""Commands without `--json`, and why. One that prints data does not belong here."""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that can be called, by its words."""
    group: Any = typer.main.get_command(cli.app)
    lazy = {each.name: each for each in cli.COMMANDS}
    for name, command in group.commands.items():
        real = loaded(lazy[name]) if name in lazy else command
        yield from _leaves(name, real)


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, each in inner.items():
        yield from _leaves(f"{words} {name}", each)


TREE = dict(commands())
each_command = pytest.mark.parametrize("words", TREE)


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


# The tree


def test_the_tree_is_walked_to_its_leaves() -> None:
    assert {"run", "show", "explain", "envs list", "golden verify", "bench suite"} <= TREE.keys()


def test_the_commands_without_data_are_there() -> None:
    assert NO_DATA.keys() <= TREE.keys()


NAMED = re.compile(r"(?:^ {4}|`|&& |\| )conformance ([a-z]+)", re.MULTILINE)
"""A command in a code span, or in an indented block of code."""
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "ci" / "README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_names_no_command_that_is_not_there(path: Path) -> None:
    named = set(NAMED.findall(path.read_text(encoding="utf-8")))
    assert named - {words.partition(" ")[0] for words in TREE} == set()


def test_a_command_is_noticed_wherever_a_document_names_it() -> None:
    text = "Type `conformance one`, then\n\n    conformance two\n    x && conformance three -n 2\n"
    assert NAMED.findall(text) == ["one", "two", "three"]


@each_command
def test_a_command_that_prints_data_prints_json(words: str) -> None:
    assert ("--json" in options(TREE[words])) != (words in NO_DATA), words


def test_a_command_without_json_is_noticed() -> None:
    app = typer.Typer()
    app.command()(lambda: None)
    assert "--json" not in options(typer.main.get_command(app))


@each_command
def test_a_command_has_help_and_an_example(words: str) -> None:
    command = TREE[words]
    assert command.help
    assert f"conformance {words}" in re.sub(r"\[/?bold\]", "", command.epilog or "")
    for parameter in command.params:
        assert getattr(parameter, "help", None) or parameter.param_type_name == "argument", (
            parameter
        )


@pytest.mark.parametrize("lazy", cli.COMMANDS, ids=lambda lazy: lazy.name)
def test_the_list_says_what_the_command_says_first(lazy: Lazy) -> None:
    said = " ".join(loaded(lazy).help.split())
    assert said.startswith(lazy.help.rstrip(".?"))


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def test_help_imports_no_command() -> None:
    code = (
        "import sys\nfrom conformance import cli\nsys.argv[1:] = ['--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "own = sorted(name for name in sys.modules if name.partition('.')[0] == 'conformance')\n"
        "print(own, file=sys.stderr)"
    )
    own = ["conformance", "conformance.cli", "conformance.commands", "conformance.commands.lazy"]
    assert python(code).stderr.strip() == str([*own, "conformance.errors"])


# JSON


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results") / "r.jsonl"
    return write(path)


def called(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "conformance.cli", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def thorough(*values: object) -> Any:
    """Return the parameters of a command that takes a second or more."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("env",), {"versions", "hardware"}),
        thorough(("schemes",), {"int8wo"}),
        thorough(("list", "-s", CASE), {CASE}),
        thorough(("show", CASE), {"case", "here", "expected", "result"}),
        (("compare", "{results}", "{results}"), {"decision", "headline"}),
        (("golden", "list"), {"releases", "damage"}),
        thorough(("explain", "zebra"), set()),
        thorough(("envs", "list"), set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_json_is_all_that_is_printed(
    arguments: tuple[str, ...], keys: set[str], results: Path
) -> None:
    filled = [each.format(results=results) for each in arguments]
    ended = called(*filled, "--json")
    assert ended.returncode in (0, 1, 3), ended.stderr
    printed = json.loads(ended.stdout)
    assert not keys or keys <= printed.keys()


# Plain where it is no terminal


CHEAP = [("explain", "invalid python storage"), ("envs", "list"), ("env",), ("--help",)]
cheap = pytest.mark.parametrize("arguments", CHEAP, ids=" ".join)


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Run it as on a terminal of 80 columns, and return what that terminal is sent."""
    master, slave = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    variables = {name: value for name, value in variables.items() if value}
    command = [sys.executable, "-m", "conformance.cli", *arguments]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=variables)
    os.close(slave)
    sent = b""
    while chunk := _read(master):
        sent += chunk
    process.wait()
    os.close(master)
    return sent.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [CHEAP[0], CHEAP[3], ("show", "nowhere")], ids=" ".join)
def test_a_terminal_gets_colours_and_none_with_no_color(arguments: tuple[str, ...]) -> None:
    assert "\x1b[" in on_a_terminal(*arguments, NO_COLOR="")
    assert "\x1b" not in on_a_terminal(*arguments, NO_COLOR="1")


@pytest.mark.thorough
@cheap
def test_a_pipe_gets_no_escape_codes_and_whole_cells(arguments: tuple[str, ...]) -> None:
    ended = called(*arguments, COLUMNS="80", NO_COLOR="", FORCE_COLOR="", GITHUB_ACTIONS="")
    assert ended.stdout
    assert "\x1b" not in ended.stdout + ended.stderr
    assert "…" not in ended.stdout


def test_tables_are_made_in_one_place_where_cells_fold() -> None:
    """`report.text.folding_table`: a cell that is cut off cannot be read in a log."""
    made = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "conformance").rglob("*.py")
        if re.search(r"(?<![\w.])Table\((?!\))", path.read_text(encoding="utf-8"))
    ]
    assert made == ["conformance/report/text.py"]


# Completion


def completed(*words: str) -> list[str]:
    """Return what bash is offered behind these words."""
    ended = called(
        _CONFORMANCE_COMPLETE="complete_bash",
        COMP_WORDS=" ".join(["conformance", *words]),
        COMP_CWORD=str(len(words)),
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("comp",), ["compare"]),
        (("show", "flux-tiny.int8wo.quantize_.torchao"), None),
        (("run", "-m", "int8w"), ["int8wo", "int8wo-v1", "int8wo-v2"]),
        (("gate", "--baseline", "torchao0.17"), ["torchao0.17.0"]),
        (("exchange", "-w", "gol"), ["golden"]),
        (("envs", "make", "torchao0.18"), ["torchao0.18.0"]),
        (("show", CASE, "--res"), ["--results"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_shell_is_offered_what_fits(words: tuple[str, ...], offered: list[str] | None) -> None:
    found = completed(*words)
    if offered is None:
        assert found
        assert set(found) <= set(all_cases())
    elif words[0] == "run":
        assert set(found) <= set(complete.markers("int8w"))
        assert "int8wo" in found
    else:
        assert found == offered


@given(st.sampled_from(sorted(all_cases())), st.integers(0, 60))
def test_every_case_can_be_typed_by_completion(case: str, length: int) -> None:
    typed = case[:length]
    offered = complete.case_ids(typed)
    assert all(each.startswith(typed) for each in offered)
    assert [each for each in offered if case.startswith(each)] != []
    assert len(set(offered)) == len(offered)


def test_completion_of_nothing_known_offers_nothing() -> None:
    assert complete.case_ids("zebra") == []
    assert complete.environments("zebra") == []


def test_completion_imports_no_torch() -> None:
    code = (
        "import sys\nfrom conformance.commands import complete\n"
        "assert complete.case_ids('flux') and complete.markers('f') and complete.writers('')\n"
        "print('torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    assert python(code).stdout == "False False\n"


def test_the_script_for_a_shell_is_printed() -> None:
    """For the shell that asks, which is found by its process: so a real one does."""
    asks = f"{sys.executable} -m conformance.cli --show-completion; true"
    ended = subprocess.run(["bash", "-c", asks], capture_output=True, text=True, check=True)
    assert "complete -o default -F _conformance_completion conformance" in ended.stdout
