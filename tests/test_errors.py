"""Bad input through the command line: one line, exit code 2, and how to mend it."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from conformance import cli
from conformance._compat import tomllib

FOLDER = Path(__file__).parent / "expected"
CASE = "flux-tiny.int8wo.quantize_.safetensors.cpu"
ERRORS = tomllib.loads((FOLDER / "errors.toml").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_text('{"a": 1}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("call", "said"), ERRORS.items(), ids=ERRORS)
def test_a_wrong_call_is_one_line_that_names_its_mend(
    call: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["conformance", *shlex.split(call.replace("CASE", CASE))])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert len(printed.err.splitlines()) == 1
    pattern = ".*".join(map(re.escape, f"conformance: {said}\n".split("*")))
    assert re.fullmatch(pattern, printed.err), printed.err
