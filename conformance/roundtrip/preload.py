"""What every worker process has imported before it is forked: what a plain reader imports.

A reader of the published recipe imports torch and a model class of diffusers. Whatever a writer
imports beyond that it imports in its own process, so a forked reader has not imported it.
"""

import os

# Tiny tensors gain nothing from more threads, and idle ones take the cores of other workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ask for CUDA without starting its driver: a started driver does not survive a fork.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from contextlib import suppress

from conformance.axes import registry
from conformance.errors import UnavailableError
from conformance.roundtrip.quiet import quietly

error: BaseException | None = None
"""What importing raised; a worker raises it again where somebody listens."""

with quietly():
    try:
        import torch

        torch.set_num_threads(1)
        import conformance.roundtrip.run  # noqa: F401

        for family in {subject.family for subject in registry.subjects().values()}:
            with suppress(UnavailableError):
                family.load_class()
    except BaseException as raised:  # noqa: BLE001 - an import can raise anything
        error = raised
