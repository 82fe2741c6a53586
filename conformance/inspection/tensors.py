"""Tensors out of a followed pickle: what `torch.save` writes of a state dict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.inspection.pickles import Call, Name, Pairs, Value
from conformance.inspection.reading import Unreadable
from conformance.inspection.weights import Part, Weight, width

PARTS = 64
"""Inner tensors of one weight; five is the most that torchao has."""
KEYS = 200_000
DEEP = 6
NODES = 200
"""Values of the attributes of one weight that are told."""
LARGE = 2**63
INSIDE = ("state_dict", "model_state_dict", "model", "module")
"""Where training scripts keep the state dict in what they save."""

STORAGES = {
    "Byte": "uint8",
    "Char": "int8",
    "Bool": "bool",
    "Half": "float16",
    "Short": "int16",
    "BFloat16": "bfloat16",
    "Int": "int32",
    "Float": "float32",
    "Long": "int64",
    "Double": "float64",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "Untyped": "uint8",
}


@dataclass(frozen=True)
class Storage:
    """What a persistent id of `torch.save` says."""

    key: str
    dtype: str
    elements: int

    @property
    def bytes(self) -> int:
        """Its bytes."""
        return self.elements * width(self.dtype)


@dataclass(frozen=True)
class Inside:
    """A tensor, plain or not, before it has a key."""

    dtype: str
    shape: tuple[int, ...]
    parts: Mapping[str, Part]
    classes: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Tensors:
    """Reads the tensors of one pickle; what is shared is read once."""

    def __init__(self) -> None:
        """Begin with no storage."""
        self.storages: dict[str, Storage] = {}
        self._known: dict[int, Inside | None] = {}

    def weights(self, top: Value) -> Iterator[Weight]:
        """Yield the weights of a state dict.

        Raises:
            Unreadable: a tensor in it contradicts itself.
        """
        last = {text(key): value for key, value in entries(top)}
        if len(last) > KEYS:
            raise Unreadable(f"its pickle has more than {KEYS:,} keys")
        for key, value in last.items():
            found = self.tensor(value)
            if found is not None:
                yield Weight(key, **vars(found))

    def tensor(self, value: Value, depth: int = 0) -> Inside | None:
        """Return the tensor that a value would become; None where it would be something else.

        Raises:
            Unreadable: it contradicts itself.
        """
        if not isinstance(value, Call):
            return None
        if id(value) not in self._known:
            self._known[id(value)] = None  # a tensor that contains itself is none
            self._known[id(value)] = self._tensor(value, depth)
        return self._known[id(value)]

    def _tensor(self, call: Call, depth: int) -> Inside | None:
        named = isinstance(call.function, Name) and isinstance(call.arguments, tuple)
        if not named or depth > DEEP:
            return None
        module, _, name = call.function.full.rpartition(".")
        if module not in ("torch._utils", "torch._tensor"):
            return None
        try:
            return self._made(name, call.arguments, depth)
        except (IndexError, TypeError, ValueError, AttributeError, KeyError):
            raise Unreadable(
                f"a tensor in its pickle has other arguments than {name} takes"
            ) from None

    def _made(self, name: str, given: tuple[Value, ...], depth: int) -> Inside | None:
        if name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self._plain(name, given)
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return self.tensor(given[0], depth + 1)
        if name == "_rebuild_meta_tensor_no_storage":
            return plain(Part(_dtype(given[0]), _ints(given[1])))
        if name == "_rebuild_from_type_v2":
            function, kind, arguments, state = given
            return self._typed(function, kind, arguments, state, depth)
        return None

    def _plain(self, name: str, given: tuple[Value, ...]) -> Inside:
        storage = self._storage(given[0])
        shape, stride = _ints(given[2]), _ints(given[3])
        dtype = _dtype(given[6]) if name == "_rebuild_tensor_v3" else storage.dtype
        last = _int(given[1]) + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if 0 not in shape and (last + 1) * width(dtype) > storage.bytes:
            raise Unreadable(f"a tensor reaches beyond the end of storage {storage.key}")
        return plain(Part(dtype, shape, storage.key))

    def _storage(self, value: Value) -> Storage:
        word, kind, key, _, elements = value.id[:5]
        if word != "storage":
            raise ValueError(word)
        found = Storage(text(key), _storage_dtype(kind), _int(elements))
        known = self.storages.setdefault(found.key, found)
        return found if known.bytes == found.bytes else _contradiction(found.key)

    def _typed(
        self, function: Value, kind: Name, arguments: tuple[Value, ...], state: Value, depth: int
    ) -> Inside | None:
        if function.full != "torch._utils._rebuild_wrapper_subclass":
            made = self._tensor(Call(function, arguments), depth + 1)
            own = () if kind.full in PLAIN else (kind.full,)
            return made and Inside(made.dtype, made.shape, made.parts, (*own, *made.classes))
        parts: dict[str, Part] = {}
        classes: list[str] = [kind.full]
        attributes: dict[str, Any] = {}
        for key, value in state_items(state):
            inner = self.tensor(value, depth + 1)
            if inner is None:
                attributes[key] = simple(value)
                continue
            parts |= _below(key, inner.parts, inner.classes)
            attributes |= {f"{key}.{name}": each for name, each in inner.attributes.items()}
            classes += inner.classes
            if max(len(parts), len(classes), len(attributes) // 4) > PARTS:
                raise Unreadable(f"a tensor in its pickle has more than {PARTS} parts")
        return Inside(_dtype(arguments[1]), _ints(arguments[2]), parts, tuple(classes), attributes)


PLAIN = ("torch.Tensor", "torch.nn.parameter.Parameter")


def plain(part: Part) -> Inside:
    """Return a plain tensor."""
    return Inside(part.dtype, part.shape, {"data": part})


def entries(top: Value) -> list[tuple[Value, Value]]:
    """Return what a state dict holds, also one that lies in a training checkpoint."""
    items: list[tuple[Value, Value]] = top.items if isinstance(top, (Pairs, Call)) else []
    if not any(_makes_a_tensor(value) for _, value in items):
        for key, value in items:
            if key in INSIDE and isinstance(value, (Pairs, Call)) and value.items:
                return value.items
    return items


def state_items(state: Value) -> Iterator[tuple[str, Value]]:
    """Yield the attributes of an object; those in slots lie in a second dictionary."""
    for each in state if isinstance(state, tuple) else (state,):
        if isinstance(each, Pairs):
            for key, value in each.items:
                yield text(key), value


def simple(value: Value) -> Any:
    """Return a value as JSON: an object by its short name, cut where it has too much in it."""
    return _simple(value, [NODES], 0)


def _simple(value: Value, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > DEEP:
        return "..."
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and abs(value) < LARGE:
        return value
    if isinstance(value, (int, float, str, bytes)):
        return text(value)
    if isinstance(value, (tuple, list)):
        return [_simple(each, left, depth + 1) for each in value[:NODES]]
    if isinstance(value, Pairs):
        return {text(key): _simple(each, left, depth + 1) for key, each in value.items[:NODES]}
    if isinstance(value, Name):
        return value.full.rsplit(".", 1)[-1]
    if isinstance(value, Call) and isinstance(value.function, Name):
        return _made_of(value, value.function, left, depth)
    return "?"


def _made_of(call: Call, name: Name, left: list[int], depth: int) -> Any:
    """An object: what it was called with, or what it holds."""
    word = name.full.rsplit(".", 1)[-1]
    held = {key: _simple(each, left, depth + 1) for key, each in state_items(call.state)}
    given = _simple(call.arguments, left, depth + 1)
    single = given[0] if isinstance(given, list) and len(given) == 1 else given
    return {word: held or single or {}}


def text(value: Value) -> str:
    """Return a key as text, cut where it is absurd."""
    if isinstance(value, str):
        return value if len(value) <= 1000 else f"{value[:1000]}..."
    if isinstance(value, int) and abs(value) >= LARGE:
        return "<huge number>"
    if value is None or isinstance(value, (int, float)):
        return str(value)
    return f"<{type(value).__name__}>"


def _below(key: str, parts: Mapping[str, Part], classes: tuple[str, ...]) -> dict[str, Part]:
    return {f"{key}.{name}" if classes else key: part for name, part in parts.items()}


def _makes_a_tensor(value: Value) -> bool:
    function = value.function if isinstance(value, Call) else None
    return isinstance(function, Name) and function.full.startswith(
        ("torch._utils._rebuild", "torch._tensor._rebuild")
    )


def _contradiction(key: str) -> Storage:
    raise Unreadable(f"its pickle gives storage {key} two sizes")


def _storage_dtype(kind: Name) -> str:
    word = kind.full.rsplit(".", 1)[-1].removesuffix("Storage")
    return STORAGES[word]


def _dtype(value: Name) -> str:
    return value.full.removeprefix("torch.")


def _int(value: Value) -> int:
    if type(value) is not int or not 0 <= value < LARGE:
        raise ValueError("no size")
    return value


def _ints(value: Value) -> tuple[int, ...]:
    """A shape: a tuple, or what `torch.Size` is called with."""
    given = value.arguments[0] if isinstance(value, Call) else value
    if not isinstance(given, (tuple, list)) or len(given) > 64:
        raise ValueError("no shape")
    return tuple(_int(each) for each in given)
