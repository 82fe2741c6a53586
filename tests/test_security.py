"""Nothing that a file holds is executed, followed out of its directory, or obeyed by a terminal."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from test_damage_mutations import safetensors_file, torch_file

from conformance.damage import executes
from conformance.damage.archives import packed
from conformance.errors import UsageError
from conformance.inspection.findings import Kind
from conformance.inspection.readers import table
from conformance.inspection.sources import Folder
from conformance.inspection.whole import checkpoints
from conformance.report.text import line, printable, show, to_text
from conformance.roundtrip.checkpoint import checkpoint_at

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "conformance").rglob("*.py"))


# What the source may not call

FORBIDDEN = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "marshal.loads",
    "shelve.open",
    "os.system",
    "os.popen",
    "eval",
    "exec",
    "yaml.load",
}


def calls(source: str) -> Iterator[str]:
    """Yield what a source calls that it may not."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given_ = {each.arg: ast.unparse(each.value) for each in node.keywords}
        if name in FORBIDDEN:
            yield name
        elif name == "torch.load" and given_.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        elif name.startswith("subprocess.") and given_.get("shell", "False") != "False":
            yield "a shell"
        elif given_.get("allow_pickle", "False") != "False":
            yield "allow_pickle"


EXCUSED = {"conformance/axes/formats/module.py": ["torch.load without weights_only=True"]}
"""`torch.save(model)` is loaded by executing it: by the run that wrote it, see
`Format.executes`."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_unpickles_plainly_or_asks_a_shell(path: Path) -> None:
    excused = EXCUSED.get(path.relative_to(ROOT).as_posix(), [])
    assert list(calls(path.read_text(encoding="utf-8"))) == excused


@pytest.mark.parametrize(
    "source",
    [
        "pickle.load(f)",
        "x = pickle.loads(b'')",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "torch.load(p, weights_only=w)",
        "subprocess.run(c, shell=True)",
        "numpy.load(p, allow_pickle=True)",
        "os.system(c)",
        "eval(x)",
    ],
)
def test_what_is_forbidden_is_noticed(source: str) -> None:
    assert len(list(calls(source))) == 1


def test_what_is_allowed_is_not() -> None:
    source = "torch.load(p, weights_only=True, mmap=m)\nsubprocess.run(['a'])\nmodel.eval()"
    assert list(calls(source)) == []


# Pickles that execute something


def trojan(directory: Path, payload: bytes, name: str = "diffusion_pytorch_model.bin") -> Path:
    """Make a checkpoint whose pickle executes something and then loads to what it was."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    (directory / name).write_bytes(executes._before(payload, torch_file()))
    return directory


@pytest.mark.parametrize("what", executes.PAYLOADS)
@pytest.mark.parametrize("bare", [True, False])
def test_inspect_tells_and_does_not_run(
    what: str, bare: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setenv(executes.RAN, str(mark))
    payload = executes.PAYLOADS[what]
    directory = trojan(tmp_path / "x", payload)
    if bare:
        (directory / "diffusion_pytorch_model.bin").write_bytes(executes.alone(payload))
    (found,) = checkpoints(Folder(directory), table().names)
    assert Kind.HOSTILE in {each.kind for each in found.findings}
    assert not mark.exists()


def called(*arguments: object, mark: Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "conformance.cli", *map(str, arguments)]
    variables = {**os.environ, executes.RAN: str(mark)}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=variables, cwd=cwd
    )


@pytest.mark.slow
def test_record_refuses_what_would_execute(tmp_path: Path) -> None:
    directory = trojan(tmp_path / "x", executes.PAYLOADS["system"])
    ended = called("record", directory, mark=tmp_path / "mark", cwd=tmp_path)
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x"]


@pytest.mark.slow
def test_a_name_for_a_shell_is_a_name(tmp_path: Path) -> None:
    name = 'a; touch ran $(touch ran) `touch ran` & "'
    directory = trojan(tmp_path / name, executes.PAYLOADS["system"])
    for words in (("inspect",), ("record",), ("gate", "--candidate", "no-such", "--checkpoint")):
        ended = called(*words, directory, mark=tmp_path / "mark", cwd=tmp_path)
        assert ended.returncode in (1, 2, 3), ended.stderr
        assert "Traceback" not in ended.stderr
    assert not list(tmp_path.rglob("ran"))
    assert not (tmp_path / "mark").exists()


# Indexes that lead out of their directory

OUTSIDE = [
    "../secret.safetensors",
    "/etc/passwd",
    "a/b.safetensors",
    "..",
    ".",
    "",
    "a\\b",
    None,
    7,
]


def led_astray(directory: Path, target: object) -> Path:
    place = directory / "x"
    place.mkdir()
    (directory / "secret.safetensors").write_bytes(safetensors_file())
    (place / "m-00001-of-00001.safetensors").write_bytes(safetensors_file())
    index = {"metadata": {}, "weight_map": {"0.weight": target}}
    (place / "m.safetensors.index.json").write_text(json.dumps(index))
    (place / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    return place


@pytest.mark.parametrize("target", OUTSIDE, ids=repr)
def test_an_index_that_leads_outside_is_refused(target: object, tmp_path: Path) -> None:
    place = led_astray(tmp_path, target)
    with pytest.raises(UsageError, match="is no file beside it") as caught:
        checkpoint_at(place)
    assert "\n" not in str(caught.value)
    (found,) = checkpoints(Folder(place), table().names)
    assert found.wrong
    read = [file.name for each in found.state_dicts for file in each.files]
    assert set(read) <= {"m-00001-of-00001.safetensors"}


@pytest.mark.parametrize("text", ["", "[]", '{"weight_map": 7}', "{", "[" * 100_000])
def test_an_index_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    place = led_astray(tmp_path, "m-00001-of-00001.safetensors")
    (place / "m.safetensors.index.json").write_text(text)
    with pytest.raises(UsageError, match="is no index of shards"):
        checkpoint_at(place)


def test_an_index_of_what_is_there_is_taken(tmp_path: Path) -> None:
    place = led_astray(tmp_path, "m-00001-of-00001.safetensors")
    assert [each.name for each in checkpoint_at(place).weights] == ["m-00001-of-00001.safetensors"]


def test_record_and_verify_refuse_it_before_anything_is_read(tmp_path: Path) -> None:
    place = led_astray(tmp_path, "../secret.safetensors")
    for command in ("record", "verify"):
        ended = called(command, place, mark=tmp_path / "mark", cwd=tmp_path)
        assert ended.returncode == 2, ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1


def test_an_entry_of_an_archive_that_leads_outside_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(packed({"a/data.pkl": b"\x80\x02}.", "a/../../x": b""}))
    (found,) = checkpoints(Folder(tmp_path, ("*",)), table().names, path.name)
    assert Kind.HOSTILE in {each.kind for each in found.findings}


# What libraries and files say

SAID = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "a C1 colour": ("\x9b31mred", "31mred"),
    "a link": ("\x1b]8;;http://x\x07text\x1b]8;;\x07", "]8;;http://xtext]8;;"),
    "a bell": ("\x07ding", "ding"),
    "over the line": ("all is well\rbad", "all is wellbad"),
    "back": ("bad\b\b\bok", "badok"),
    "from the right": ("\u202etxt.exe", "txt.exe"),
    "another end of line": ("a\u2028b", "ab"),
    "for a CI service": ("::add-mask::x", ": :add-mask::x"),
    "indented for it": ("a\n  ::error::x", "a\n  : :error::x"),
    "its older way": ("##[group]x", "## [group]x"),
    "plain": ("a: b :: c # d\n\te", "a: b :: c # d\n\te"),
}


@pytest.mark.parametrize(("said", "shown"), SAID.values(), ids=SAID)
def test_a_terminal_obeys_nothing_that_a_library_says(said: str, shown: str) -> None:
    assert printable(said) == shown


@given(st.text())
def test_no_text_controls_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert not re.search(r"^\s*::|##\[", shown, re.MULTILINE)
    assert printable(shown) == shown


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    said = "[red]x[/red] [link=http://x]y[/link] <b>z</b>"
    assert to_text(line(said)) == f"{said}\n"
    show(Console(force_terminal=True, color_system="truecolor"), line(said))
    assert capsys.readouterr().out.strip() == said
