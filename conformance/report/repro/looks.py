"""What a repro looks at, check by check: the lines that get the wanted and the seen values."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from textwrap import indent

from conformance._compat import StrEnum
from conformance.axes.base import Scheme
from conformance.axes.source import Import
from conformance.errors import UsageError
from conformance.report.repro.defect import DRAWN, Found


class When(StrEnum):
    """How far the script must come before it can look, in order."""

    QUANTIZED = "quantized"
    SAVED = "saved"
    LOADED = "loaded"
    RESAVED = "resaved"


@dataclass(frozen=True)
class Look:
    """Two expressions of dictionaries that must be equal, and the functions that they call."""

    when: When
    wanted: str
    """In terms of `model` and `directory`."""
    seen: str
    """In terms of `loaded` and `directory`, too."""
    functions: tuple[str, ...] = ()

    @property
    def of_the_writer(self) -> bool:
        """Must the writer tell another process what is wanted?"""
        return re.search(r"\b(?:model|directory|before)\b", self.wanted) is not None

    @property
    def imports(self) -> frozenset[Import]:
        """What the functions need beside torch and the standard library."""
        text = "".join(self.functions)
        return frozenset({("safetensors", "deserialize")} if "deserialize(" in text else ())


NAMED = "{**model.state_dict(keep_vars=True), **dict(model.named_buffers())}.items()"

LEAVES = '''\
def leaves(tensor):
    """The plain tensors inside a tensor subclass, with their names."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [("", tensor)]
    inner = [(name, getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0]]
    return [(f"/{name}{rest}", leaf) for name, each in inner for rest, leaf in leaves(each)]'''

BITS = """\
def bits(tensor):
    plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    return hashlib.sha256(plain.numpy()).hexdigest()[:16]"""


WIDTH = 100
RUN = 'f"{key} {bits(leaf)}"'
"""A run of bits, whatever its inner tensor is called."""


def _each_leaf(doc: str, value: str, key: str = "key + name") -> str:
    loops = ("for key, each in named", "for name, leaf in leaves(each)")
    line = f"return {{{key}: {value} {' '.join(loops)}}}"
    if len(line) > WIDTH - 4:
        inside = indent("\n".join((f"{key}: {value}", *loops)), "    ")
        line = f"return {{\n{inside}\n}}"
    return f'''\
def look(model):
    """{doc}"""
    named = {NAMED}
{indent(line, "    ")}'''


def _each_parameter(doc: str, value: str, where: str = "") -> str:
    named = "model.named_parameters()"
    if where:
        named = f"[pair for pair in {named} if {where}]"
    return f'''\
def look(model):
    """{doc}"""
    named = {named}
    return {{key: {value} for key, each in named}}'''


def _loaded(*functions: str) -> Look:
    return Look(When.LOADED, "look(model)", "look(loaded)", functions)


def _leaf(doc: str, value: str) -> Look:
    return _loaded(LEAVES, _each_leaf(doc, value))


LOOK_AT_BITS = _loaded(
    BITS,
    LEAVES,
    _each_leaf("A digest of every inner tensor.", "bits(leaf)"),
)
"""Also what a script of a passing case compares."""

STATIC: Mapping[str, Look] = {
    "requires_grad": _loaded(
        _each_parameter("Which parameters want a gradient.", "each.requires_grad")
    ),
    "keys": _loaded(
        '''\
def look(model):
    """The kind of every entry."""
    kinds = {"parameter": model.named_parameters(), "buffer": model.named_buffers()}
    return {key: kind for kind, named in kinds.items() for key, _ in named}'''
    ),
    "bits": LOOK_AT_BITS,
    "dtype": _leaf("Every dtype, outside and inside.", 'f"{each.dtype} {leaf.dtype}"'),
    "device": _leaf("The device of every inner tensor.", "leaf.device.type"),
    "shape": _loaded(
        LEAVES,
        _each_leaf("Every shape and stride, outside and inside.", "laid(each, leaf)"),
        """\
def laid(*tensors):
    return str([(*t.shape, [p for p in zip(t.shape, t.stride()) if p[0] > 1]) for t in tensors])""",
    ),
    "aliasing": _loaded(
        LEAVES,
        f'''\
def look(model):
    """Which inner tensors lie in the same memory."""
    places = {{}}
    for key, each in {NAMED}:
        for name, leaf in leaves(each):
            if leaf.numel():
                places.setdefault(leaf.data_ptr(), []).append(key + name)
    return {{names[0]: " ".join(names) for names in places.values() if len(names) > 1}}''',
    ),
    "output": Look(
        When.LOADED,
        '{"output": bits(output(model))}',
        '{"output": bits(output(loaded))}',
        (BITS,),
    ),
    "caller_config": Look(When.QUANTIZED, '{"config": before}', '{"config": repr(config)}', ()),
    "config": Look(
        When.RESAVED,
        "look(directory)",
        "look(again)",
        (
            '''\
def look(directory):
    """What config.json says, but for where the model was loaded from."""
    config = json.loads((directory / "config.json").read_text())
    return {key: value for key, value in config.items() if key != "_name_or_path"}''',
        ),
    ),
    "resave": Look(
        When.RESAVED,
        "look(directory)",
        "look(again)",
        (
            '''\
def look(directory):
    """A checksum of every tensor in the files, and what their metadata name."""
    found = {}
    for path in directory.glob("*.safetensors"):
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        found[path.name] = sorted(header.get("__metadata__", {}))
        for name, entry in deserialize(content):
            found[f"{path.name}/{name}"] = zlib.crc32(entry["data"])
    for path in [*directory.glob("*.bin"), *directory.glob("*.pt")]:
        for entry in zipfile.ZipFile(path).infolist():
            if "/data/" in entry.filename:
                found[path.name + entry.filename.partition("/")[2]] = entry.CRC
    return found''',
        ),
    ),
}
"""The checks whose lines are the same for every case."""

STORED = '''\
def stored(directory):
    """Bytes of tensor data in the files."""
    files = [*directory.glob("*.bin"), *directory.glob("*.pt")]
    pickled = [zipfile.ZipFile(path).infolist() for path in files]
    sizes = [entry.file_size for each in pickled for entry in each if "/data/" in entry.filename]
    for path in directory.glob("*.safetensors"):
        sizes += [len(entry["data"]) for _, entry in deserialize(path.read_bytes())]
    return sum(sizes)'''

SIZES = '''\
def sizes(model):
    """Bytes of all inner tensors: shared memory counted once, and every time."""
    saved = model.state_dict(keep_vars=True).values()
    found = [leaf for each in saved for _, leaf in leaves(each)]
    once = {leaf.data_ptr(): leaf.nbytes for leaf in found}
    return sum(once.values()), sum(leaf.nbytes for leaf in found)'''


def look_apart(calls: bool) -> Look:
    """Return how a passing case is compared over two processes, by digests.

    A release may rename an inner tensor and add others: every run of bits must be there.
    """
    find = _each_leaf("A digest of every inner tensor.", "True", RUN)
    more = ', "output": bits(output({}))' if calls else ""
    wanted, seen = (f"{{**look({each}){more.format(each)}}}" for each in ("model", "loaded"))
    return Look(When.LOADED, wanted, seen, (BITS, LEAVES, find))


def look_at(found: Found, scheme: Scheme) -> Look:
    """Return how the script sees what a check found.

    Raises:
        UsageError: no script can show this check.
    """
    if found.check not in LOOKS:
        mend = (
            "look at what it draws with `conformance run -s CASE --pictures DIR`, or choose another"
            if found.check in DRAWN
            else "choose another"
        )
        raise UsageError(f"no script can show the check {found.check}; {mend} by --defect")
    return LOOKS[found.check](found, scheme)


def _always(look: Look) -> Callable[[Found, Scheme], Look]:
    return lambda _found, _scheme: look


def _subclass(found: Found, _: Scheme) -> Look:
    doc = "The class of every parameter."
    if "/" not in found.wanted + found.got:
        return _loaded(_each_parameter(doc, "type(each).__name__"))
    nested = '''\
def classes(tensor):
    """The class of a tensor, and the classes inside."""
    inner = tensor.__tensor_flatten__()[0] if hasattr(tensor, "__tensor_flatten__") else ()
    nested = [classes(getattr(tensor, name)) for name in inner]
    return "/".join([type(tensor).__name__, *(each for each in nested if each != "Tensor")])'''
    return _loaded(nested, _each_parameter(doc, "classes(each)"))


def _attributes(found: Found, _: Scheme) -> Look:
    name = found.path.rpartition("/")[2] or _attribute(found.what)
    inside = 'hasattr(pair[1], "__tensor_flatten__")'
    context = "each.__tensor_flatten__()[1]"
    if not name.isidentifier():
        return _loaded(
            _each_parameter("The attributes of every subclass.", f"repr({context})", inside)
        )
    doc = f"`{name}` of every tensor subclass."
    return _loaded(_each_parameter(doc, f'repr({context}.get("{name}"))', inside))


def _attribute(what: str) -> str:
    named = re.search(r"(?:container type of |requires_grad in |^)(\w+) differs$", what)
    return named[1] if named else ""


def _coverage(_: Found, scheme: Scheme) -> Look:
    divides = f"n % {scheme.rows} == 0 and k % {scheme.multiple} == 0"
    text = f'''\
def look(model):
    """Which Linears are quantized."""
    linears = {{k: m.weight for k, m in model.named_modules() if isinstance(m, torch.nn.Linear)}}
    return {{key: hasattr(each, "__tensor_flatten__") for key, each in linears.items()}}


def covered(model):
    """Which Linears the scheme can divide."""
    linears = {{k: m.weight for k, m in model.named_modules() if isinstance(m, torch.nn.Linear)}}
    shapes = {{key: each.shape for key, each in linears.items()}}
    return {{key: {divides} for key, (n, k) in shapes.items()}}'''
    return Look(When.QUANTIZED, "covered(model)", "look(model)", (text,))


def _payload(found: Found, _: Scheme) -> Look:
    if "limit" in found.what:
        limit, doc = _number(found.wanted), "Do the bytes of this weight stay within the limit?"
        size = "sum(leaf.nbytes for _, leaf in leaves(each))"
        value = f"{size} <= {limit}" if limit else size
        look = _each_parameter(doc, value, f'pair[0] == "{found.path}"')
        return Look(
            When.QUANTIZED, "dict.fromkeys(look(model), True)", "look(model)", (LEAVES, look)
        )
    if "overhead" in found.what:
        files = "sum(path.stat().st_size for path in directory.iterdir()) - stored(directory)"
        seen = f'{{"within": {files} <= {_number(found.wanted) or 0}}}'
        return Look(When.SAVED, '{"within": True}', seen, (STORED,))
    seen = '{"bytes": stored(directory)}'
    # Tensors in the same memory are written once by some formats, once each by others.
    wanted = '{"bytes": sorted([*sizes(model), stored(directory)])[1]}'
    return Look(When.SAVED, wanted, seen, (LEAVES, STORED, SIZES))


def _number(text: str) -> int:
    """Return the last number: `0 to 4096 bytes` has 4096 as its limit."""
    numbers: list[str] = re.findall(r"\d+", text)
    return int(numbers[-1]) if numbers else 0


def _reduction(_: Found, scheme: Scheme) -> Look:
    files = "sum(path.stat().st_size for path in directory.iterdir())"
    dense = "sum(2 * each.numel() for each in model.state_dict(keep_vars=True).values())"
    text = f'''\
def small(model, directory):
    """Are the files small enough, against two bytes for every weight?"""
    dense = {dense}
    return {files} <= {scheme.reduction} * dense'''
    seen = '{"small enough": small(model, directory)}'
    return Look(When.SAVED, '{"small enough": True}', seen, (text,))


SQNR = '''\
def sqnr(wanted, seen):
    """Signal to quantization noise ratio in dB."""
    noise = (wanted.double() - seen.double()).square().sum()
    return float(10 * (wanted.double().square().sum() / noise).log10())'''


def _layers(_: Found, scheme: Scheme) -> Look:
    floor = 'float("-inf") <' if scheme.sqnr is None else f"{scheme.sqnr} <="
    text = f'''\
def far_off(model, dense):
    """The quantized Linears whose output is not close to that of the unquantized ones."""
    found = []
    for key, each in model.named_modules():
        if isinstance(each, torch.nn.Linear) and hasattr(each.weight, "__tensor_flatten__"):
            given = torch.randn(8, each.in_features).to(each.weight.device, torch.bfloat16)
            with torch.no_grad():
                decibels = sqnr(dense.get_submodule(key)(given), each(given))
            if not {floor} decibels < float("inf"):
                found.append(f"{{key}} {{decibels:.1f}} dB")
    return found'''
    seen = '{"far off": far_off(model, unquantized)}'
    return Look(When.QUANTIZED, '{"far off": []}', seen, (SQNR, text))


def _accuracy(_: Found, scheme: Scheme) -> Look:
    ratio = "sqnr(dense, output(loaded))"
    seen = f'{{"close, not equal": {scheme.sqnr or 0.0} <= {ratio} < float("inf")}}'
    return Look(When.LOADED, '{"close, not equal": True}', seen, (SQNR,))


LOOKS: Mapping[str, Callable[[Found, Scheme], Look]] = {
    **{name: _always(look) for name, look in STATIC.items()},
    "subclass": _subclass,
    "attributes": _attributes,
    "coverage": _coverage,
    "payload": _payload,
    "reduction": _reduction,
    "accuracy": _accuracy,
    "layers": _layers,
}
"""How to see what a check finds, by its name. A test holds it to all checks but `UNSCRIPTED`."""
