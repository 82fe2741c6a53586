"""Read the facts off a live model. The only place that takes tensor subclasses apart."""

import dataclasses
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import xxhash

from conformance.roundtrip.facts import Inner, ModelFacts, TensorFacts
from conformance.roundtrip.ladder import HarnessError

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


Seen = Callable[[TensorFacts], object]
"""Is told of each tensor when its bits have been read."""


def observe(model: torch.nn.Module, seen: Seen = lambda _: None) -> ModelFacts:
    """Return the facts of every parameter and buffer, non-persistent buffers included."""
    return observe_tensors(named_tensors(model), seen)


def observe_tensors(
    tensors: Mapping[str, tuple[str, torch.Tensor]], seen: Seen = lambda _: None
) -> ModelFacts:
    """Return the facts of named `(kind, tensor)` pairs, one tensor after the other."""
    facts = {}
    for key, (kind, tensor) in tensors.items():
        facts[key] = tensor_facts(kind, tensor)
        seen(facts[key])
    return ModelFacts(facts, _aliases(tensors))


def bytes_of(model: torch.nn.Module) -> int:
    """Return how many bytes `observe` goes through."""
    tensors = [tensor for _, tensor in named_tensors(model).values()]
    return sum(
        leaf.numel() * leaf.element_size() for each in tensors for _, leaf in leaves_of(each)
    )


def named_tensors(model: torch.nn.Module) -> dict[str, tuple[str, torch.Tensor]]:
    """Return `key -> (kind, tensor)` in a fixed order: state dict first, then the rest."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    state = model.state_dict(keep_vars=True)
    named: dict[str, tuple[str, torch.Tensor]] = {
        key: ("parameter" if key in parameters else "buffer", value)
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    for key, value in model.named_buffers(remove_duplicate=False):
        named.setdefault(key, ("non-persistent buffer", value))
    return named


def tensor_facts(kind: str, tensor: torch.Tensor) -> TensorFacts:
    """Return the facts of one tensor, subclass or not."""
    leaves = dict(leaves_of(tensor))
    return TensorFacts(
        kind=kind,
        subclass="/".join(_class_names(tensor)),
        dtype=str(tensor.dtype),
        shape=tuple(tensor.shape),
        stride=tuple(tensor.stride()),
        requires_grad=tensor.requires_grad,
        attributes=_attributes(tensor),
        inner={name: _inner(leaf) for name, leaf in leaves.items()},
    )


def leaves_of(tensor: torch.Tensor, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield `(dotted name, plain tensor)` for everything inside that holds bits.

    Raises:
        HarnessError: a tensor subclass cannot be taken apart with `__tensor_flatten__`.
    """
    if not is_subclass(tensor):
        yield prefix or "data", tensor.detach()
        return
    names, _ = _flatten(tensor)
    for name in names:
        yield from leaves_of(getattr(tensor, name), f"{prefix}.{name}" if prefix else name)


def is_subclass(tensor: Any) -> bool:
    """Is it a tensor subclass that wraps inner tensors (a `Parameter` is none)?"""
    return isinstance(tensor, torch.Tensor) and _bare_type(tensor) not in (
        torch.Tensor,
        torch.nn.Parameter,
    )


def _bare_type(tensor: torch.Tensor) -> type:
    # Buffers and parameters that torch itself subclasses behave as plain tensors.
    cls = type(tensor)
    return torch.nn.Parameter if cls.__name__ == "Parameter" else cls


def digest(tensor: torch.Tensor) -> str:
    """Return the 128-bit xxh3 of the elements in row-major order; empty on the meta device."""
    if tensor.is_meta:
        return ""
    return xxhash.xxh3_128_hexdigest(memoryview(as_bytes(tensor).numpy()))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements in row-major order as a flat uint8 tensor on CPU."""
    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8)


def plain(value: Any) -> Any:
    """Turn an attribute into JSON that keeps every difference: a tuple is not a list.

    Nor is a dtype or an enum its name, which is what a careless format turns it into.
    """
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str)):
        return value
    if isinstance(value, enum.Enum):
        return {type(value).__name__: value.name}
    if isinstance(value, torch.Tensor):
        return {"tensor": digest(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {type(value).__name__: plain(fields)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {type(value).__name__: plain(value._asdict())}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, tuple):
        return {type(value).__name__: [plain(each) for each in value]}
    return {type(value).__name__: ADDRESS.sub("", repr(value))}


def _flatten(tensor: torch.Tensor) -> tuple[list[str], Any]:
    try:
        names, context = tensor.__tensor_flatten__()
    except AttributeError as error:
        name = type(tensor).__name__
        raise HarnessError(f"{name} has no __tensor_flatten__, by which the suite looks") from error
    return list(names), context


def _class_names(tensor: torch.Tensor) -> list[str]:
    if not is_subclass(tensor):
        return [_bare_type(tensor).__name__]
    children = [getattr(tensor, name) for name in _flatten(tensor)[0]]
    nested = [name for child in children if is_subclass(child) for name in _class_names(child)]
    return [type(tensor).__name__, *nested]


def _attributes(tensor: torch.Tensor) -> dict[str, Any]:
    if not is_subclass(tensor):
        return {}
    names, context = _flatten(tensor)
    if isinstance(context, Mapping):
        items: dict[str, Any] = dict(context)
    else:
        sequence = context if isinstance(context, list | tuple) else [context]
        items = {str(index): each for index, each in enumerate(sequence)}
    attributes = {str(name): plain(value) for name, value in items.items()}
    for name in names:
        for inner, value in _attributes(getattr(tensor, name)).items():
            attributes[f"{name}.{inner}"] = value
    return attributes


def _inner(tensor: torch.Tensor) -> Inner:
    return Inner(
        dtype=str(tensor.dtype),
        shape=tuple(tensor.shape),
        stride=tuple(tensor.stride()),
        device=tensor.device.type,
        bytes=tensor.numel() * tensor.element_size(),
        digest=digest(tensor),
    )


def _aliases(tensors: Mapping[str, tuple[str, torch.Tensor]]) -> tuple[tuple[str, ...], ...]:
    spans = sorted(
        (leaf.device.type, leaf.data_ptr(), leaf.data_ptr() + _extent(leaf), f"{key}/{name}")
        for key, (_, tensor) in tensors.items()
        for name, leaf in leaves_of(tensor)
        if not leaf.is_meta and leaf.numel()
    )
    groups: list[list[str]] = []
    reach: tuple[str, int] = ("", 0)
    for device, start, end, name in spans:
        if reach[0] == device and start < reach[1]:
            groups[-1].append(name)
            reach = (device, max(reach[1], end))
        else:
            groups.append([name])
            reach = (device, end)
    return tuple(sorted(tuple(sorted(group)) for group in groups if len(group) > 1))


def _extent(tensor: torch.Tensor) -> int:
    last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return int((last + 1) * tensor.element_size())
