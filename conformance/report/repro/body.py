"""What a repro does, line by line: what must work, what is tried, and what is compared."""

import re
from collections.abc import Iterable, Iterator
from textwrap import indent

from conformance.report.repro.defect import Found, Raised
from conformance.report.repro.looks import When
from conformance.report.repro.parts import Parts, broken
from conformance.report.repro.plan import WIDTH
from conformance.report.repro.said import pieces
from conformance.roundtrip.outcome import Stage

WANTED = 'directory / "wanted.json"'
CANNOT_TELL = """\
except Exception:  # these versions, or this machine, cannot tell
    traceback.print_exc()
    sys.exit(125)"""
COMPARE = """\
different = [key for key in {**wanted, **seen} if wanted.get(key) != seen.get(key)]
for key in different[:5]:
    print(f"{key}: wanted {wanted.get(key)}, saw {seen.get(key)}")
print(f"{len(different)} of {len(wanted)} differ")
sys.exit(1 if different else 0)"""
SAME = '''\
def same(*pair):
    """Bit for bit, inside of tensor subclasses too."""
    if hasattr(pair[0], "__tensor_flatten__"):
        names, _ = pair[0].__tensor_flatten__()
        return all(same(*(getattr(each, name) for each in pair)) for name in names)
    return torch.equal(*(each.detach().cpu().flatten().view(torch.uint8) for each in pair))'''
COMPARE_TENSORS = """\
different = [key for key, each in wanted.items() if not same(each, seen[key])]
print("different:", ", ".join(different) or "nothing")
sys.exit(1 if different else 0)"""
QUANTIZED = """\
assert any(hasattr(each, "__tensor_flatten__") for each in model.parameters()), "not quantized\""""
WRITE = """\
if sys.argv[1:2] == ["write"]:
    sys.exit(write(Path(sys.argv[2])))
subprocess.run([sys.executable, __file__, "write", directory], check=True)"""


def functions(parts: Parts, *, writing: bool = False) -> list[str]:
    """Return the functions that stand before the first line that does something.

    Args:
        parts: the parts of the script.
        writing: for a script that only writes: without those that a failing reader needs.
    """
    repro = parts.repro
    found = [*repro.look.functions] if repro.look else []
    if repro.look is None and repro.shown is None:
        found.append(SAME)
    if parts.calls and not (writing and repro.look is None):
        found.append(_output(parts))
    if repro.fresh and not repro.apart:
        found.append(_write(parts))
    return found


def _output(parts: Parts) -> str:
    device = parts.repro.names.device
    moved = "" if device == "cpu" else f', torch.device("{device}")'
    before, keywords = parts.inputs
    picked = parts.repro.case.subject.family.picked
    call = f"return model(\n{indent(keywords, '    ')}\n    return_dict=False,\n){picked}"
    lines = indent(_joined(*before, call), "        ")
    return f"""\
def output(model):
    torch.manual_seed(1)
    with torch.no_grad(){moved}:
{lines}"""


def _write(parts: Parts) -> str:
    """Return the function that another process runs: it imports what the reader must not have."""
    doc = '"""In a process of its own: the one that reads must not have imported this."""'
    lines = _joined(doc, *parts.writer_imports, "", *_made(parts), *_kept(parts), parts.save)
    return f"def write(directory):\n{indent(lines, '    ')}"


def work(parts: Parts) -> str:
    """Return the lines behind the functions."""
    repro = parts.repro
    head = ("import torch", *parts.imports, parts.printing)
    if repro.fresh:
        before = [*head, *_place(parts), WRITE]
    else:
        before = [*head, *_made(parts), *(_place(parts) if parts.uses_disk else [])]
    return _told(parts, before, dict(_steps(parts)))


def _place(parts: Parts) -> Iterator[str]:
    """Make a directory that is removed at the end."""
    yield "place = tempfile.TemporaryDirectory()"
    yield from _directory(parts, "place.name")


def _directory(parts: Parts, base: str) -> Iterator[str]:
    """Say where the model lies: in a directory, or in that of a whole pipeline."""
    within = parts.repro.case.format.within
    yield f"directory = Path({base})" + (f' / "{within}"' if within else "")
    if within:
        yield "directory.mkdir(exist_ok=True)"


def write_work(parts: Parts) -> str:
    """Return the lines of a script that only writes, behind its functions."""
    made = [*_made(parts), *_kept(parts), parts.save]
    imports = ("import torch", *parts.writer_imports, parts.printing)
    return _joined(*_given(parts), _must_work([*imports, *made]))


def read_work(parts: Parts) -> str:
    """Return the lines of a script that only reads, behind its functions."""
    before = ["import torch", *parts.imports, parts.printing]
    return _joined(*_given(parts), _told(parts, before, dict(_steps(parts))))


def _given(parts: Parts) -> Iterator[str]:
    yield from _directory(parts, "sys.argv[1]")
    yield ""


def _told(parts: Parts, before: list[str], steps: dict[Stage, str]) -> str:
    """Let the steps before the one in question stand with what must work."""
    shown = parts.repro.shown
    if shown is None and parts.repro.look is None:
        return _joined(_must_work(before), "", *steps.values(), *_passing(parts), COMPARE_TENSORS)
    if shown is None:
        return _joined(_must_work(before), "", *steps.values(), *_seen(parts), COMPARE)
    if isinstance(shown, Found):
        return _joined(_must_work([*before, *steps.values(), *_seen(parts)]), COMPARE)
    *working, tried = steps.values()
    return _joined(_must_work([*before, *working]), "", _tried(parts, shown, tried))


def _made(parts: Parts) -> Iterator[str]:
    """Build and quantize; what comes after is only seen where that works."""
    repro = parts.repro
    yield from _built(parts, "model")
    look = repro.look
    if look is not None and not repro.fresh and "dense" in look.seen:
        yield "dense = output(model)"
    yield from parts.config_lines
    if look is not None and "before" in look.wanted:
        yield "before = repr(config)"
    if not _is_at(parts, Stage.QUANTIZE):
        yield parts.quantize
        yield QUANTIZED
        if not _is_at(parts, Stage.SAVE):
            yield from parts.alters
    if look is not None and not repro.fresh and look.when is When.LOADED:
        yield f"wanted = {look.wanted}"
    if repro.shown is None and look is None:
        yield "wanted = model.state_dict(keep_vars=True)"
        yield from _calling(parts, 'wanted["output"] = output(model)')


def _built(parts: Parts, name: str) -> Iterator[str]:
    """Build the unquantized model from its seed."""
    yield "torch.manual_seed(0)"
    yield f"{name} = {parts.repro.names.model}(**CONFIG).to({parts.builds}).eval()"


def _calling(parts: Parts, line: str) -> Iterator[str]:
    """Call the model before it is saved; a machine without the kernel compares tensors alone."""
    if not parts.repro.calls:
        return
    if parts.repro.may_lack_kernel:
        yield f"try:\n    {line}\nexcept Exception as error:\n    print('no kernel here:', error)"
    else:
        yield line


def _passing(parts: Parts) -> Iterator[str]:
    yield "seen = loaded.state_dict(keep_vars=True)"
    if parts.repro.calls:
        asked = 'if "output" in wanted:\n    ' if parts.repro.may_lack_kernel else ""
        yield f'{asked}seen["output"] = output(loaded)'


def _is_at(parts: Parts, stage: Stage) -> bool:
    shown = parts.repro.shown
    return isinstance(shown, Raised) and shown.stage is stage


def _steps(parts: Parts) -> Iterator[tuple[Stage, str]]:
    """Yield what comes after quantizing, as far as the script must go."""
    repro = parts.repro
    if _is_at(parts, Stage.QUANTIZE):
        called = ("output(model)",) if parts.calls_at_once else ()
        yield Stage.QUANTIZE, _joined(parts.quantize, *called)
    if repro.reached is not When.QUANTIZED and not repro.fresh:
        altering = parts.alters if _is_at(parts, Stage.SAVE) else []
        yield Stage.SAVE, _joined(*altering, parts.save)
    if repro.reached in (When.LOADED, When.RESAVED):
        yield Stage.LOAD, parts.load
    if repro.reached is When.RESAVED:
        yield Stage.RESAVE, _joined(*_again(parts))
    if _is_at(parts, Stage.STRUCTURE):
        yield Stage.STRUCTURE, "str(loaded.state_dict())"
    if _is_at(parts, Stage.OUTPUT):
        yield Stage.OUTPUT, "output(loaded)"


def _again(parts: Parts) -> Iterator[str]:
    """Save what was loaded, beside what was saved first."""
    within = parts.repro.case.format.within
    yield 'again = directory / "again"' + (f' / "{within}"' if within else "")
    yield "again.mkdir(parents=True)" if within else "again.mkdir()"
    yield parts.again
    if _is_at(parts, Stage.RESAVE):  # what was saved again may be what cannot be loaded
        yield re.sub(r"\bdirectory\b", "again", parts.load)


def _kept(parts: Parts) -> Iterator[str]:
    """Write down what must come back, for another process."""
    look = parts.repro.look
    if look is not None and look.of_the_writer:
        yield f"wanted = {look.wanted}"
        yield f"({WANTED}).write_text(json.dumps(wanted))"


def _seen(parts: Parts) -> Iterator[str]:
    look = parts.repro.look
    if look is None:
        return
    late = parts.repro.fresh and "dense" in look.seen
    if late or "unquantized" in look.seen:
        yield from _built(parts, "unquantized")
    if late:
        yield "dense = output(unquantized)"
    if parts.repro.fresh and look.of_the_writer:
        yield f"wanted = json.loads(({WANTED}).read_text())"
    elif parts.repro.fresh or look.when is not When.LOADED:
        yield f"wanted = {look.wanted}"
    if parts.repro.shown is None:
        yield f"found = {look.seen}"
        yield "seen = {key: found[key] for key in wanted if key in found}"
    else:
        yield f"seen = {look.seen}"


def _tried(parts: Parts, shown: Raised, lines: str) -> str:
    refused = parts.repro.defect is not None and parts.repro.defect.unsupported
    judged = [
        'print(f"saw {type(error).__name__}: {error}")',
        *_known(shown.match),
        f'known = known and type(error).__name__ == "{shown.type}"',
        *(_hidden(shown.cause) if shown.cause else ()),
    ]
    told = "sys.exit(1 if known else 125)"
    if shown.leaves and shown.stage is Stage.SAVE:
        judged += ['left = [each for each in directory.rglob("*") if each.is_file()]']
        judged += ["left = sorted(str(each.relative_to(directory)) for each in left)"]
        judged += ['print("left behind:", ", ".join(left) or "nothing")']
        told = "sys.exit((1 if left else 0) if known else 125)" if shown.refusal else told
    if refused:
        judged.append('print("still refused" if known else "refused otherwise")')
    caught = indent(_joined(*judged, told), "    ")
    return f'try:\n{indent(lines, "    ")}\nexcept Exception as error:\n{caught}\nprint("gone")'


def _known(match: str) -> list[str]:
    """Return the lines that look for the words; words that are too long for a line are named."""
    lines = broken(f"known = {recognised(match)}")
    if max(map(len, lines)) <= WIDTH - 4:
        return lines
    literal = LITERAL.fullmatch(match) is not None
    text = re.sub(r"\\(\W)", r"\1", match.removeprefix("^")) if literal else match
    asked = "str(error).startswith(words)" if match[0] == "^" else "words in str(error)"
    return [
        "words = (",
        *(
            f"    {_quoted(each) if literal else _raw(each)}"
            for each in _lines_of(text, WIDTH - 20)
        ),
        ")",
        f"known = {asked if literal else 're.search(words, str(error))'}",
    ]


def _hidden(cause: str) -> Iterator[str]:
    """Tell the failure from others that end in the same exception: by what was raised before."""
    written = [_quoted(each) for each in _lines_of(cause, WIDTH - 20)]
    yield "said = []"
    yield "while error := error.__context__:"
    yield '    said.append(f"{type(error).__name__}: {error}")'
    yield 'print("after", " after ".join(said))'
    if len(written) == 1:
        yield f"cause = {written[0]}"
    else:
        yield from ("cause = (", *(f"    {each}" for each in written), ")")
    yield "known = known and any(cause in each for each in said)"


def _lines_of(text: str, width: int) -> list[str]:
    """Break a text behind blanks and dots; joined, the lines are the text again."""
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


LITERAL = re.compile(r"\^?(?:[^\\.^$*+?{}\[\]|()]|\\\W)+")
"""A regular expression that is a text, perhaps at the start."""


def recognised(match: str) -> str:
    """Return the expression that finds the words in the message, as a person would write it."""
    if LITERAL.fullmatch(match):
        text = _quoted(re.sub(r"\\(\W)", r"\1", match.removeprefix("^")))
        return f"str(error).startswith({text})" if match[0] == "^" else f"{text} in str(error)"
    return f"re.search({_raw(match)}, str(error))"


def _raw(match: str) -> str:
    quote = "'" if '"' in match else '"'
    return f"r{quote}{match}{quote}"


def _quoted(text: str) -> str:
    written = repr(text)
    return written if '"' in written else f'"{written[1:-1]}"'


def _must_work(lines: Iterable[str]) -> str:
    return f"try:\n{indent(_joined(*lines), '    ')}\n{CANNOT_TELL}"


def _joined(*lines: str) -> str:
    return "\n".join(lines)
