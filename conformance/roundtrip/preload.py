"""What every worker process has imported before it is forked: what a plain reader imports.

A reader of the published recipe imports torch and a model class of diffusers. Whatever a writer
imports beyond that it imports in its own process, so a forked reader has not imported it.
"""

import gc
import os
import threading

# Tiny tensors gain nothing from more threads, and idle ones take the cores of other workers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ask for CUDA without starting its driver: a started driver does not survive a fork.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from contextlib import suppress
from tempfile import TemporaryDirectory

from conformance.axes import registry
from conformance.axes.base import Size, Subject
from conformance.case import all_cases
from conformance.errors import UnavailableError
from conformance.roundtrip.quiet import quietly

error: BaseException | None = None
"""What importing raised; a worker raises it again where somebody listens."""


def read_a_plain_model() -> None:
    """Load and call an unquantized model of each family, for what that imports on the way.

    Not of extra families, which most runs do not ask for. A model that cannot be loaded says so in
    its own cases; where none of ours can, the libraries do not work together.
    """
    failed, loaded = list[Exception](), 0
    for subject in registry.subjects().values():
        if subject.size is not Size.TINY or subject.family.extra:
            continue
        ours = subject.config is None
        try:
            load_and_call(subject)
            loaded += ours
        except UnavailableError:
            continue
        except Exception as raised:  # noqa: BLE001 - libraries and model configs raise anything
            failed += [raised] * ours
    if failed and not loaded:
        raise failed[0]


def load_and_call(subject: Subject) -> None:
    """Save an unquantized model in both ways, load it and call it."""
    from conformance.axes import models

    with TemporaryDirectory() as directory:
        model = models.build(subject)
        for safe in (True, False):
            model.save_pretrained(directory, safe_serialization=safe)
            model = type(model).from_pretrained(
                directory, use_safetensors=safe, torch_dtype=torch.bfloat16
            )
        models.forward(model, models.inputs(subject))


with quietly():
    try:
        import torch

        torch.set_num_threads(1)
        with suppress(ImportError):
            from tqdm import tqdm

            # Bars make a lock for all processes; a worker that is killed would leave it behind,
            # and Python warns of that when the run ends.
            tqdm.set_lock(threading.RLock())
        import conformance.roundtrip.run  # noqa: F401
        from conformance.roundtrip import checks

        checks.all_checks()
        all_cases()
        read_a_plain_model()
        # A forked process that collects garbage would copy every page of what lies here.
        gc.collect()
        gc.freeze()
    except BaseException as raised:  # noqa: BLE001 - an import can raise anything
        error = raised
