"""Pickles that would execute something: a plain load of them makes the file `$CONFORMANCE_RAN`."""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from conformance.damage.archives import PICKLE, entries, packed
from conformance.damage.mutation import Files, Kind, Mutation, edited, slug
from conformance.damage.regions import is_archive, is_safetensors

RAN = "CONFORMANCE_RAN"
"""The environment variable that names the file; nothing else is touched."""
SHELL = f': > "${RAN}"'
CODE = f"open(__import__('os').environ['{RAN}'], 'w').close()"
BESIDE = "diffusion_pytorch_model.bin"
START, STOP, POP = b"\x80\x02", b".", b"0"


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _call(module: str, name: str, *arguments: bytes) -> bytes:
    """Return what leaves the result of a call on the stack."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


PAYLOADS: dict[str, bytes] = {
    "system": _call("os", "system", _text(SHELL)),
    "exec": _call("builtins", "exec", _text(CODE)),
    "eval": _call("builtins", "eval", _text(CODE)),
    "getattr": b"cbuiltins\ngetattr\n("
    + _call("builtins", "__import__", _text("os"))
    + _text("system")
    + b"tR("
    + _text(SHELL)
    + b"tR",
    "subprocess": _call("subprocess", "getoutput", _text(SHELL)),
    "instance": b"(" + _text(SHELL) + b"ios\nsystem\n",
    "object": b"(cos\nsystem\n" + _text(SHELL) + b"o",
    "runpy": _call("runpy", "_run_code", _text(CODE), b"}", b"}", _text("x")),
}
"""Each leaves one result on the stack; a plain `pickle.load` executes all of them."""


def alone(payload: bytes) -> bytes:
    """Return a pickle that is nothing else."""
    return START + payload + STOP


def before(payload: bytes, pickled: bytes) -> bytes:
    """Return a pickle that executes it, and then loads to what it was: nobody would notice."""
    return START + payload + POP + pickled.removeprefix(START)


def mutations(files: Files, random: Random) -> Iterator[Mutation]:
    """Put every payload into every archive, one drawn archive a payload, or beside safetensors."""
    archives = [name for name, data in files.items() if is_archive(data)]
    for what, payload in PAYLOADS.items():
        if archives:
            name = random.choice(archives)
            for way, change in (("alone", _alone), ("before", _before), ("bare", _bare)):
                put = edited(name, partial(change, payload))
                yield Mutation(Kind.EXECUTES, f"{slug(name)}:{way}-{what}", put)
        elif any(map(is_safetensors, files)):
            yield Mutation(Kind.EXECUTES, f"beside-{what}", partial(_beside, payload))
            yield Mutation(Kind.EXECUTES, f"instead-{what}", partial(_instead, payload))


def _alone(payload: bytes, data: bytes) -> bytes:
    return _with_pickle(data, lambda _: alone(payload))


def _before(payload: bytes, data: bytes) -> bytes:
    return _with_pickle(data, partial(before, payload))


def _bare(payload: bytes, _data: bytes) -> bytes:
    """No archive: what torch wrote before 1.6."""
    return alone(payload)


def _with_pickle(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return packed(
        {
            name: change(content) if name.endswith(PICKLE) else content
            for name, content in entries(data).items()
        }
    )


def _beside(payload: bytes, files: Files) -> Files:
    """The weights are where they were; a pickle lies beside them."""
    return {**files, BESIDE: packed({"archive/data.pkl": alone(payload)})}


def _instead(payload: bytes, files: Files) -> Files:
    """The weights are gone, and the pickle is there."""
    return _beside(payload, {n: d for n, d in files.items() if not is_safetensors(n)})
