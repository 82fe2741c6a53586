"""The tensors behind a record, kept for small models, so that a finding says where and how much."""

from collections.abc import Mapping
from pathlib import Path

import torch

from conformance.roundtrip.observe import as_bytes, leaves_of
from conformance.roundtrip.record import ORACLE

LIMIT = 256 * 2**20
"""Bytes above which only the outputs are kept; digests still tell that a tensor differs."""


def save_oracle(
    directory: Path,
    tensors: Mapping[str, tuple[str, torch.Tensor]],
    outputs: Mapping[str, torch.Tensor | None],
) -> None:
    """Write every inner tensor as `key/inner` and every output that there is, as raw bytes.

    Dtypes and shapes stand in the record: safetensors has no name for some of the dtypes.
    """
    from safetensors.torch import save_file

    leaves = {
        f"{key}/{name}": leaf
        for key, (_, tensor) in tensors.items()
        for name, leaf in leaves_of(tensor)
        if not leaf.is_meta
    }
    small = sum(each.numel() * each.element_size() for each in leaves.values()) <= LIMIT
    kept = {name: each for name, each in outputs.items() if each is not None}
    together = {**leaves, **kept} if small else kept
    if together:
        # Entries that share memory are refused by safetensors; the record knows the aliases.
        copies = {name: as_bytes(each).clone() for name, each in together.items()}
        save_file(copies, directory / ORACLE)


def oracle_tensor(directory: Path, name: str, like: torch.Tensor) -> torch.Tensor | None:
    """Return the recorded tensor in the dtype and shape of `like`; None when none was kept."""
    from safetensors import safe_open

    if not (directory / ORACLE).exists():
        return None
    with safe_open(directory / ORACLE, framework="pt") as file:
        if name not in file.keys():  # noqa: SIM118
            return None
        flat = file.get_tensor(name)
    if flat.numel() != like.numel() * like.element_size():
        return None
    return flat.view(like.dtype).reshape(like.shape)


def difference(wanted: torch.Tensor | None, got: torch.Tensor) -> str:
    """Say how many elements differ, where the first is, and by how much."""
    if wanted is None:
        return ""
    left, right = as_bytes(wanted), as_bytes(got)
    width = max(1, got.element_size())
    unequal = (left != right).reshape(-1, width).any(dim=1)
    first = int(unequal.int().argmax())
    text = f"{int(unequal.sum())} of {unequal.numel()} elements differ, the first at {first}"
    try:
        step = (wanted.double().cpu() - got.double().cpu()).abs().max()
    except (RuntimeError, TypeError):  # some packed dtypes have no arithmetic
        return text
    return f"{text}, by {float(step):.3g} at most"
