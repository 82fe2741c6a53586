"""What is imported before workers are forked, when a family cannot be read."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.thorough

SCRIPT = """
import sys
from conformance.axes import models

build = models.build

def broken(subject):
    if sys.argv[1] in (subject.name, "all"):
        raise RuntimeError("The size of tensor a must match")
    return build(subject)

models.build = broken
from conformance.roundtrip import preload

print(repr(preload.error))
"""


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("flux-tiny", "None"),
        ("all", "RuntimeError('The size of tensor a must match')"),
    ],
)
def test_a_wrong_model_config_is_no_end_of_a_run(broken: str, error: str) -> None:
    """Its own cases say what is wrong with it; the cases of other families run."""
    command = [sys.executable, "-c", SCRIPT, broken]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == error
