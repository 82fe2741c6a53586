"""Follow a pickle without running it: a stack machine over `pickletools.genops`.

Nothing is imported and nothing is called. What a pickle would call becomes a `Call`, what it would
import a `Name`. Values may share and contain each other, as in a real pickle, so whoever walks them
bounds the walk.
"""

import io
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from conformance.inspection.reading import Meter, Unreadable

OPCODES = 4_000_000
"""Opcodes of one pickle; a state dict of 20,000 quantized weights has 3 million."""
OBJECTS = 1_000_000
"""What one pickle may make; those 20,000 weights are 400,000 objects."""

DAMAGE = (ValueError, IndexError, KeyError, OverflowError, AttributeError, TypeError)
"""What `genops` and the stack raise over a broken pickle."""

Value = Any
"""None, bool, int, float, str, bytes, tuple, list, or one of the classes below."""


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """What a pickle imports."""

    full: str
    """`module.name`."""


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """A persistent id: in a file of `torch.save`, a storage."""

    id: Value


@dataclass(eq=False, slots=True)
class Pairs:
    """A dictionary; its keys may be anything here."""

    items: list[tuple[Value, Value]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Call:
    """What a pickle calls, and what it does to the result."""

    function: Value
    arguments: Value
    state: Value = None
    items: list[tuple[Value, Value]] = field(default_factory=list)
    appended: list[Value] = field(default_factory=list)


@dataclass
class Trace:
    """What a pickle would do."""

    value: Value = None
    names: dict[str, None] = field(default_factory=dict)
    """Everything it imports, in order."""
    called: dict[str, None] = field(default_factory=dict)
    """What of that it calls."""
    computed: bool = False
    """Does it import or call something whose name is only made while it runs?"""


class Machine:
    """The pickle machine, with values that stand for what would be made."""

    def __init__(self) -> None:
        """Begin with an empty stack."""
        self.trace = Trace()
        self._stack: list[Value] = []
        self._marks: list[list[Value]] = []
        self._memo: dict[int, Value] = {}
        self._made = 0

    def run(self, file: IO[bytes] | Meter) -> Trace:
        """Follow one pickle up to its STOP; the file stays behind it.

        Raises:
            Unreadable: it is damaged, truncated, or absurdly long.
        """
        try:
            for count, (opcode, argument, _) in enumerate(
                pickletools.genops(cast(IO[bytes], file))
            ):
                if count >= OPCODES:
                    raise Unreadable(f"its pickle has more than {OPCODES:,} opcodes")
                self._step(opcode.name, argument)
            self.trace.value = self._stack.pop()
        except (
            ValueError,
            IndexError,
            KeyError,
            OverflowError,
            AttributeError,
            TypeError,
        ) as error:
            reason = str(error)[:120] or type(error).__name__
            raise Unreadable(f"its pickle is damaged: {reason}") from None
        return self.trace

    def _step(self, name: str, argument: Value) -> None:
        if name in CONSTANTS:
            self._stack.append(CONSTANTS[name])
        elif name in STEPS:
            STEPS[name](self, argument)
        elif argument is not None:  # the opcodes that push what stands behind them
            self._stack.append(argument)
        else:
            raise ValueError(f"opcode {name}")

    def _fresh(self, make: Callable[[], Value]) -> None:
        self._count()
        self._stack.append(make())

    def _count(self) -> None:
        self._made += 1
        if self._made > OBJECTS:
            raise Unreadable(f"its pickle makes more than {OBJECTS:,} objects")

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Value]:
        found, self._stack = self._stack, self._marks.pop()
        return found

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise ValueError("too few values for a tuple")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _whole(self, make: Callable[[list[Value]], Value]) -> None:
        found = self._since_mark()
        self._stack.append(make(found))

    def _put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _import(self, module: Value, name: Value) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            self.trace.computed = True
            self._stack.append(Name("<computed>"))
            return
        full = f"{module}.{name}"
        self.trace.names[full] = None
        self._stack.append(Name(full))

    def _import_from_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._import(module, name)

    def _call(self, function: Value, arguments: Value) -> None:
        if isinstance(function, Name):
            self.trace.called[function.full] = None
        else:
            self.trace.computed = True
        self._count()
        self._stack.append(Call(function, arguments))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._call(function, arguments)

    def _new_with_names(self) -> None:
        named, arguments, function = self._stack.pop(), self._stack.pop(), self._stack.pop()
        self._call(function, (arguments, named))

    def _object(self) -> None:
        function, *arguments = self._since_mark()
        self._call(function, tuple(arguments))

    def _instance(self, argument: str) -> None:
        arguments = self._since_mark()
        self._import(*argument.split(" ", 1))
        self._call(self._stack.pop(), tuple(arguments))

    def _extension(self) -> None:
        """The copyreg registry: what it names is not in the file."""
        self.trace.computed = True
        self._stack.append(Name("<extension registry>"))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Call):
            target.state = state

    def _set(self, pairs: list[tuple[Value, Value]]) -> None:
        target = self._stack[-1]
        if isinstance(target, (Pairs, Call)):
            target.items.extend(pairs)
        else:
            raise ValueError("items set on what is no dictionary")

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([(key, value)])

    def _append(self, values: list[Value]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Call):
            target.appended.extend(values)
        else:
            raise ValueError("something appended to what is no list")


def _pairs(flat: list[Value]) -> list[tuple[Value, Value]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


Step = Callable[[Machine, Any], object]
CONSTANTS: dict[str, Value] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NOTHING: Step = lambda _, __: None  # noqa: E731
STEPS: dict[str, Step] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"), NOTHING),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda m, _: m._extension()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, place: m._put(place)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, at: m._stack.append(m._memo[at])),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m._reduce()),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda m, _: m._fresh(list)),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: m._append(m._since_mark())),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda m, _: m._whole(list)),
    "MEMOIZE": lambda m, _: m._put(len(m._memo)),
    "EMPTY_DICT": lambda m, _: m._fresh(Pairs),
    "MARK": lambda m, _: m._mark(),
    "POP": lambda m, _: m._stack.pop() if m._stack else m._since_mark(),
    "POP_MARK": lambda m, _: m._since_mark(),
    "DUP": lambda m, _: m._stack.append(m._stack[-1]),
    "TUPLE": lambda m, _: m._whole(tuple),
    "TUPLE1": lambda m, _: m._tuple(1),
    "TUPLE2": lambda m, _: m._tuple(2),
    "TUPLE3": lambda m, _: m._tuple(3),
    "DICT": lambda m, _: m._whole(lambda flat: Pairs(_pairs(flat))),
    "SETITEM": lambda m, _: m._set_item(),
    "SETITEMS": lambda m, _: m._set(_pairs(m._since_mark())),
    "APPEND": lambda m, _: m._append([m._stack.pop()]),
    "GLOBAL": lambda m, argument: m._import(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m._import_from_stack(),
    "INST": lambda m, argument: m._instance(argument),
    "OBJ": lambda m, _: m._object(),
    "NEWOBJ_EX": lambda m, _: m._new_with_names(),
    "BUILD": lambda m, _: m._build(),
    "PERSID": lambda m, argument: m._stack.append(Stored(argument)),
    "BINPERSID": lambda m, _: m._stack.append(Stored(m._stack.pop())),
    "NEXT_BUFFER": lambda m, _: m._stack.append(b""),
}


def follow(pickled: bytes) -> Trace:
    """Follow a pickle that is in memory.

    Raises:
        Unreadable: see `Machine.run`.
    """
    return Machine().run(io.BytesIO(pickled))


def follow_all(file: Meter, count: int) -> Iterator[Trace]:
    """Follow pickles that lie one behind the other; the file stays behind the last.

    Raises:
        Unreadable: see `Machine.run`.
    """
    for _ in range(count):
        yield Machine().run(file)
