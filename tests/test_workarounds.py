"""Every workaround with a script is run: the script shows the defect and the way around it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.judging.defects import Workaround
from conformance.judging.findings import Shown
from conformance.report.catalogue import findings, workarounds
from conformance.versions.environments import find, load_environments
from conformance.versions.make import made, tools
from conformance.versions.ready import Ready, run_in

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "fixtures/golden/torchao-0.17/flux-tiny.int8wo.quantize_.pickle.cpu/checkpoint"
REQUIRED = "CONFORMANCE_ENVIRONMENTS"
"""Set it to `required` where the environments are made, so that nothing is left out silently."""
SHOWING = [each.script for each in findings()]
"""Scripts that are run for their findings, and try the workaround as well."""
SCRIPTS = [each for each in workarounds() if each.script]


def run(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("finding", findings(), ids=lambda each: each.expectation.name)
def test_the_script_of_a_finding_prints_its_message(finding: Shown) -> None:
    ended = run(finding.script)
    assert ended.returncode == 0, ended.stderr[-600:]
    said = finding.measured.samples[0].message
    assert said in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "workaround",
    [each for each in SCRIPTS if not each.under and each.script not in SHOWING],
    ids=lambda each: each.name,
)
def test_the_script_shows_the_defect_and_the_way_around_it(workaround: Workaround) -> None:
    ended = run(workaround.script)
    assert ended.returncode == 0, ended.stderr[-600:]


@pytest.fixture
def older() -> Ready:
    there = made(find("torchao0.17.0", load_environments(None)), tools())
    lacks = "no environment torchao0.17.0; `conformance envs make torchao0.17.0` makes it"
    if there is None and os.environ.get(REQUIRED) == "required":
        pytest.fail(lacks)
    if there is None:
        pytest.skip(lacks)
    return there


@pytest.mark.slow
def test_int8_weights_rebuilt_by_0_17_are_read(older: Ready, tmp_path: Path) -> None:
    (workaround,) = (each for each in SCRIPTS if each.under)
    old, new = GOLDEN / "diffusion_pytorch_model.bin", tmp_path / "new.bin"
    unread = run(workaround.script, str(old))
    assert unread.returncode == 1
    assert "AffineQuantizedTensor" in unread.stderr
    written = run_in(older, [str(ROOT / workaround.script), str(old), str(new)])
    assert written.stdout == "rebuilt 30 weights\n", written.stderr[-600:]
    assert run(workaround.script, str(new)).stdout == "read 30 weights\n"
