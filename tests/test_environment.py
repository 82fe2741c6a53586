"""What is installed and what the machine is."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata

import pytest
from packaging.utils import canonicalize_name

from conformance import environment
from conformance.environment import hardware, observed_versions
from conformance.judging import expectations

Answer = subprocess.CompletedProcess[str]


@pytest.fixture
def ask_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer | Exception], str]:
    """Put an answer, or an error, in the place of nvidia-smi's."""

    def ask(answer: Answer | Exception) -> str:
        def run(*_: object, **__: object) -> Answer:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(shutil, "which", lambda _: "/bin/nvidia-smi")
        monkeypatch.setattr(subprocess, "run", run)
        return hardware()["gpu"]

    return ask


def answered(code: int, stdout: str) -> Answer:
    return Answer([], code, stdout, "")


def test_versions_are_those_of_the_distributions_and_of_python() -> None:
    versions = observed_versions()
    assert versions["torchao"] == metadata.version("torchao")
    assert versions["python"] == platform.python_version()
    assert versions.keys() <= {*environment.DISTRIBUTIONS, "python"}


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "DISTRIBUTIONS", ("no-such-distribution", "torchao"))
    assert observed_versions().keys() == {"torchao", "python"}


def test_an_expectation_can_name_exactly_what_is_observed() -> None:
    observed = map(canonicalize_name, (*environment.DISTRIBUTIONS, "python"))
    assert frozenset(observed) == expectations.DISTRIBUTIONS


def test_the_machine_is_told_in_texts() -> None:
    told = hardware()
    assert list(told) == ["platform", "python", "processor", "cores", "memory", "gpu"]
    assert all(isinstance(value, str) and value for value in told.values())


def test_gpus_are_named_on_one_line(ask_gpu: Callable[[Answer | Exception], str]) -> None:
    assert ask_gpu(answered(0, "H100, 9.0, 550\nH100, 9.0, 550\n")) == (
        "H100, 9.0, 550; H100, 9.0, 550"
    )
    assert ask_gpu(answered(0, "")) == "none"


@pytest.mark.parametrize(
    "answer",
    [
        answered(9, "NVIDIA-SMI has failed because it couldn't communicate with the driver.\n"),
        subprocess.TimeoutExpired("nvidia-smi", 20),
        PermissionError(),
    ],
)
def test_a_driver_that_does_not_answer_is_no_gpu_name(
    ask_gpu: Callable[[Answer | Exception], str], answer: Answer | Exception
) -> None:
    assert ask_gpu(answer) == "nvidia-smi does not answer"


def test_without_nvidia_smi_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert hardware()["gpu"] == "none"
