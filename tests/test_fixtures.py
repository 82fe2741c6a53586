"""The fixtures in somebody else's test file."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

THEIRS = """
import pytest

SEEN = []

def test_transformer(transformer):
    SEEN.append(id(transformer))
    assert type(transformer.proj_out.weight).__name__ == "Parameter"

def test_quantized(quantized):
    assert type(quantized.proj_out.weight).__name__ == "Int8Tensor"

@pytest.mark.conformance("flux-tiny.int8wo.quantize_.state-dict.cpu")
def test_checkpoint(checkpoint):
    assert (checkpoint.path / "state_dict.pt").exists()
    assert checkpoint.record.facts.quantized

def test_reloaded(reloaded):
    assert type(reloaded.proj_out.weight).__name__ == "Int8Tensor"

def test_models_are_shared(transformer):
    assert SEEN == [id(transformer)]

@pytest.mark.conformance("flux-tiny.int8wo-v1.quantize_.pickle.cpu")
def test_unmeasurable(quantized):
    raise AssertionError("there is nothing to test")

@pytest.mark.conformance("flux-tiny.int8wo.quantize_.safetensors.cpu")
def test_refused(reloaded):
    pass
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run them for two formats of one quantized model, and return what pytest printed."""
    directory = tmp_path_factory.mktemp("theirs")
    (directory / "test_theirs.py").write_text(THEIRS, encoding="utf-8")
    chosen = [
        f"--select=flux-tiny.int8wo.quantize_.{form}.cpu" for form in ("pickle", "state-dict")
    ]
    command = [sys.executable, "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", *chosen]
    ended = subprocess.run(
        command, cwd=Path(directory), capture_output=True, text=True, check=False, timeout=200
    )
    return ended.stdout


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("test_transformer[flux-tiny.cpu] PASSED", 1),
        ("test_quantized[flux-tiny.int8wo.quantize_.cpu] PASSED", 1),
        ("test_checkpoint[flux-tiny.int8wo.quantize_.state-dict.cpu] PASSED", 1),
        ("test_reloaded[flux-tiny.int8wo.quantize_.pickle.cpu] PASSED", 1),
        ("test_reloaded[flux-tiny.int8wo.quantize_.state-dict.cpu] PASSED", 1),
        ("test_models_are_shared[flux-tiny.cpu] PASSED", 1),
    ],
)
def test_each_fixture_runs_as_often_as_it_can_tell_apart(
    theirs: str, line: str, times: int
) -> None:
    assert theirs.count(line) == times
    assert theirs.count(line.partition("[")[0] + "[") >= times


def test_a_case_that_cannot_be_measured_is_skipped_with_the_reason(theirs: str) -> None:
    assert "test_unmeasurable[flux-tiny.int8wo-v1.quantize_.cpu] SKIPPED" in theirs
    assert "version 1 of Int8WeightOnlyConfig has been removed" in theirs


def test_an_error_of_a_library_is_shown_as_itself(theirs: str) -> None:
    assert "RuntimeError: Attempted to access the data pointer" in theirs
