"""The scripts of an exchange: run by hand, and by their driver."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from called import called
from repros import CASE, VERSIONS, exchanged
from script_runner import Before, Ran, run
from test_repro_looks import doubles_output, flips_a_bit
from test_repro_runs import no_such_config

from conformance.case import Case, find
from conformance.judging.exchange_results import ExchangeWriter
from conformance.report.html.causes import exchange_commands
from conformance.report.repro.defect import Defect, Found, Raised
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import exchange_scripts
from conformance.roundtrip.outcome import Outcome, Stage

pytestmark = pytest.mark.thorough


def scripts(defect: Defect | None, case: Case = CASE) -> Mapping[str, str]:
    part = Repro(case, VERSIONS, defect, note="written with a, read with b", apart=True)
    return exchange_scripts(part, part)


def give(directory: Path) -> None:
    sys.argv.append(str(directory))


def turn(texts: Mapping[str, str], place: Path, *before: Before) -> Ran:
    """Write in one process, read in another."""
    written = place / "written"
    for name in ("writer", "reader", "written"):
        (place / name).mkdir()
    wrote = run(texts["writer.py"], place / "writer", partial(give, written))
    assert wrote.code == 0, wrote.output
    return run(texts["reader.py"], place / "reader", partial(give, written), *before)


def no_diffusers() -> None:
    sys.modules["diffusers"] = None  # type: ignore[assignment]


FLAG = Defect(Found("requires_grad", Stage.STRUCTURE, "it came back True"))
REFUSED = Defect(Raised(Stage.LOAD, "OSError", "nothing like it"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("defect", "before", "code"),
    [
        (None, (), 0),
        (None, (flips_a_bit,), 1),
        (None, (doubles_output,), 1),
        (FLAG, (), 1),
        (REFUSED, (), 0),
        (REFUSED, (no_diffusers,), 125),
    ],
    ids=["pass", "bit", "output", "flag", "gone", "cannot tell"],
)
def test_a_reader_tells(
    defect: Defect | None, before: tuple[Before, ...], code: int, tmp_path: Path
) -> None:
    ran = turn(scripts(defect), tmp_path, *before)
    assert ran.code == code, ran.output


@pytest.mark.slow
@pytest.mark.parametrize("form", ["state-dict", "torchao-safetensors", "pickle-sharded"])
def test_a_passing_exchange_of_another_format_finds_nothing(form: str, tmp_path: Path) -> None:
    case = find(f"flux-tiny.float8wo.quantize_.{form}.cpu")
    ran = turn(scripts(None, case), tmp_path)
    assert ran.code == 0, ran.output


def test_a_writer_that_cannot_write_cannot_tell(tmp_path: Path) -> None:
    ran = run(scripts(None)["writer.py"], tmp_path, partial(give, tmp_path), no_such_config)
    assert ran.code == 125


FAKE = """\
#!/bin/sh
case "$1 $2 $*" in
  sync*reader.py) exit ${SYNC:-0} ;;
  sync*) exit 0 ;;
  run*/writer.py*) exit ${WRITER:-0} ;;
  run*/reader.py*) exit ${READER:-0} ;;
  *) exit 99 ;;
esac
"""


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({}, 0),
        ({"READER": "1"}, 1),
        ({"READER": "125"}, 125),
        ({"READER": "139"}, 125),
        ({"WRITER": "1"}, 125),
        ({"SYNC": "1"}, 125),
        ({"PATH": ""}, 125),
    ],
    ids=["gone", "there", "cannot tell", "crash", "not written", "not installed", "no uv"],
)
def test_a_driver_runs_both(ends: Mapping[str, str], code: int, tmp_path: Path) -> None:
    for name, text in scripts(FLAG).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    uv = tmp_path / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(FAKE)
    uv.chmod(0o755)
    variables = {**os.environ, "PATH": f"{uv.parent}:/usr/bin:/bin", **ends}
    command = [sys.executable, "-I", str(tmp_path / "repro.py")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def test_the_command_of_a_report_writes_the_scripts(tmp_path: Path) -> None:
    """The report shows it beside every cell; it names the file that an exchange writes."""
    results = exchanged(Outcome(CASE.id))
    with ExchangeWriter(tmp_path / "conformance-exchange.jsonl", results.header) as writer:
        for each in results.cells:
            writer.write(each)
    cell, header = results.cells[0], results.header
    wrote, read = header.writers[cell.writer], header.readers[cell.reader]
    shown, _ = exchange_commands(cell.id, cell.case, wrote, read, "")
    done = called(*shlex.split(shown)[1:], where=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {each.name for each in (tmp_path / "repro").iterdir()} == scripts(None).keys()
    assert "uv run repro/repro.py" in done.stderr
