"""What a benchmark of a pipeline needs of memory and disk, reckoned before anything is built."""

from math import prod
from pathlib import Path

from conformance.axes import pipelines, registry
from conformance.axes.base import Device, Pipeline, Scheme
from conformance.bench.benched import Benched
from conformance.errors import UnavailableError
from conformance.roundtrip.budget import BF16, HEADERS, bound, free, lacking, reckon, shapes


def require_room(benched: Benched, scheme: Scheme | None, device: Device, directory: Path) -> None:
    """Raise UnavailableError where the machine lacks what both halves of a row need."""
    found = shapes(registry.subjects()[benched.subject])
    bf16 = BF16 * found.elements
    held = bf16 if scheme is None else reckon(found, scheme, loads=False).payload
    needed = needs(bf16, held, BF16 * others(benched.pipeline), device)
    if lacks := lacking(needed, free(directory, device)):
        raise UnavailableError(lacks)


def needs(bf16: int, held: int, others: int, device: Device) -> dict[str, int]:
    """Return the bytes that are needed of each kind of room.

    The weights are drawn on the CPU on every device; on CUDA the transformer has left the memory of
    the machine before the other parts come.

    Args:
        bf16: bytes of the unquantized transformer.
        held: of the one that is saved and loaded.
        others: of the other parts.
        device: where they are.
    """
    whole = bound(max(bf16, held + others))
    memory = whole if device is Device.CPU else bound(max(bf16, others))
    return {"memory": memory, "gpu": whole, "disk": round(HEADERS * held)}


def others(pipeline: Pipeline) -> int:
    """Return the numbers in all parts but the transformer, asked of parts without weights.

    What is tied there is counted twice.

    Raises:
        UnavailableError: transformers is not installed, or a class is not there.
    """
    import torch
    from accelerate import init_empty_weights

    pipelines.load_class(pipeline)
    found = 0
    for described in pipelines.pipeline_config(pipeline)["parts"].values():
        with init_empty_weights():
            part = pipelines.constructed(described)
        if isinstance(part, torch.nn.Module):
            found += sum(prod(each.shape) for each in part.parameters())
    return found
