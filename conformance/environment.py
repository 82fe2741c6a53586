"""What is installed and what the machine is, asked without importing torch."""

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

DISTRIBUTIONS = (
    "torch",
    "torchao",
    "diffusers",
    "huggingface_hub",
    "safetensors",
    "accelerate",
    "transformers",
    "numpy",
    "triton",
    "mslk",
    "fbgemm-gpu-genai",
)
PYTHON = "python"


@cache
def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def observed_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed distributions that matter.

    What is not installed is left out.
    """
    found = {name: _version(name) for name in DISTRIBUTIONS}
    installed = {name: version for name, version in found.items() if version is not None}
    return {**installed, PYTHON: platform.python_version()}


def hardware() -> dict[str, str]:
    """Return what the machine is."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "gpu": _gpu(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return "none"
    query = [command, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "nvidia-smi does not answer"
    if answer.returncode != 0:  # it says why on stdout, where the names would stand
        return "nvidia-smi does not answer"
    return "; ".join(answer.stdout.splitlines()) or "none"
