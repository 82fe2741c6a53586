"""The functions of a repro that do the work: what is tried, and what is compared."""

from collections.abc import Iterable
from textwrap import indent

from conformance.report.repro.defect import Raised
from conformance.report.repro.looks import When
from conformance.report.repro.parts import Parts
from conformance.roundtrip.outcome import Stage

COMPARE = """\
def compare(wanted, seen):
    keys = [key for key in {**wanted, **seen} if wanted.get(key) != seen.get(key)]
    for key in keys[:5]:
        print(f"{key}: wanted {wanted.get(key)}, saw {seen.get(key)}")
    print(f"{len(keys)} of {len(wanted)} differ")
    return 1 if keys else 0"""

QUANTIZED = """\
if not any(hasattr(each, "__tensor_flatten__") for each in model.parameters()):
    raise RuntimeError("nothing was quantized")"""

GONE = """\
print("gone")
return 0"""
WANTED_FILE = 'directory / "wanted.json"'


def one_process(parts: Parts) -> list[str]:
    """Return the functions of a script that writes and reads."""
    main = _function("main", "", _prepared(parts), _on_disk(parts), _ending(parts))
    return [*_judging(parts), main]


def two_processes(parts: Parts) -> list[str]:
    """Return the functions of a script that lets another process of itself write."""
    start = """\
directory = Path(name)
subprocess.run([sys.executable, __file__, "write", name], check=True)"""
    inside = indent("\n".join((start, reading(parts))), "    ")
    disk = f"with tempfile.TemporaryDirectory() as name:\n{inside}"
    ending = "" if parts.repro.look else GONE
    return [*_judging(parts), writer(parts), _function("main", "", disk, ending)]


def writer(parts: Parts) -> str:
    """Return the function that writes a checkpoint, and what must come back."""
    look = parts.repro.look
    wanted = f"({WANTED_FILE}).write_text(json.dumps({_wanted(parts)}))" if look else ""
    imports = "\n".join(parts.writer_imports)
    doc = '"""In a process of its own: the reader must not have imported what this imports."""'
    imports = f"{doc}\n{imports}\n" if parts.repro.fresh else ""
    return _function("write", "directory", imports, _prepared(parts), wanted, parts.save)


def reading(parts: Parts) -> str:
    """Return the lines that read a checkpoint which another process wrote."""
    look = parts.repro.look
    if look is None:
        return _steps(parts)
    seen = f"return compare(json.loads(({WANTED_FILE}).read_text()), {_seen(parts)})"
    return f"{parts.load}\n{seen}"


def _function(name: str, arguments: str, *blocks: str) -> str:
    return f"def {name}({arguments}):\n" + indent(
        "\n".join(each for each in blocks if each), "    "
    )


def _judging(parts: Parts) -> list[str]:
    shown = parts.repro.shown
    if not isinstance(shown, Raised):
        return [COMPARE]
    still = "still refused" if parts.repro.defect and parts.repro.defect.unsupported else "still"
    return [
        f'''\
def expected(error):
    """Is it the error that this is about? Another one tells nothing."""
    text = {_pattern(shown.match)}
    if type(error).__name__ != "{shown.type}" or not re.search(text, str(error)):
        raise error
    print(f"{still}: {{type(error).__name__}}: {{str(error)[:300]}}")
    return 1'''
    ]


def _pattern(match: str) -> str:
    return f"r'{match}'" if '"' in match else f'r"{match}"'


def _prepared(parts: Parts) -> str:
    """Build and quantize."""
    shown = parts.repro.shown
    if isinstance(shown, Raised) and shown.stage is Stage.QUANTIZE:
        return f"model = build()\n{_tried(parts.quantize)}"
    before = "before = repr(config)\n" if "before" in _wanted(parts) else ""
    quantize = parts.quantize
    if before:
        config, _, rest = quantize.rpartition("\n")
        quantize = f"{config}\n{before}{rest}"
    return f"model = build()\n{quantize}\n{QUANTIZED}"


def _wanted(parts: Parts) -> str:
    look = parts.repro.look
    if look is None:
        return ""
    return look.wanted


def _seen(parts: Parts) -> str:
    look = parts.repro.look
    return "" if look is None else look.seen


def _on_disk(parts: Parts) -> str:
    if not parts.uses_disk:
        return ""
    look, passes = parts.repro.look, parts.repro.shown is None
    first = "" if look is None or look.when is not When.LOADED else f"wanted = {look.wanted}\n"
    kernel = _output_of_model(parts) if passes else ""
    steps = _steps(parts)
    inside = _attempted(steps) if passes else steps
    lines = indent("directory = Path(name)\n" + inside, "    ")
    return f"{first}{kernel}with tempfile.TemporaryDirectory() as name:\n{lines}"


def _output_of_model(parts: Parts) -> str:
    """Call the model before it is saved; a machine without the kernel compares bits alone."""
    if not parts.repro.calls:
        return ""
    call = 'wanted["output"] = bits(output(model))\n'
    if not parts.repro.may_lack_kernel:
        return call
    return f"""\
try:
    {call}except Exception as error:  # no kernel here
    print(f"the output is not compared: {{error}}")
"""


def _steps(parts: Parts) -> str:
    """Save, load and save again as far as it must come, and compare."""
    repro = parts.repro
    shown, reached = repro.shown, repro.reached
    stage = shown.stage if isinstance(shown, Raised) else None
    steps = {Stage.SAVE: parts.save} if not repro.fresh else {}
    if reached in (When.LOADED, When.RESAVED):
        steps[Stage.LOAD] = parts.load
    if reached is When.RESAVED:
        steps[Stage.RESAVE] = f'again = directory / "again"\nagain.mkdir()\n{parts.again}'
    if stage is Stage.STRUCTURE:
        steps[stage] = "str(loaded.state_dict())"
    if stage is Stage.OUTPUT:
        steps[stage] = "output(loaded)"
    lines = [
        _tried(text, leaves=stage is Stage.SAVE, parts=parts) if each is stage else text
        for each, text in steps.items()
    ]
    return "\n".join((*lines, *_comparison(parts)))


def _comparison(parts: Parts) -> Iterable[str]:
    repro = parts.repro
    look = repro.look
    if look is None:
        return
    if look.when is not When.LOADED:
        yield f"return compare({look.wanted}, {look.seen})"
    elif repro.shown is not None:
        yield f"return compare(wanted, {look.seen})"
    else:
        yield f"seen = {look.seen}"
        if repro.calls and repro.may_lack_kernel:
            yield 'if "output" in wanted:\n    seen["output"] = bits(output(loaded))'
        elif repro.calls:
            yield 'seen["output"] = bits(output(loaded))'


def _attempted(steps: str) -> str:
    """A case that passes has no error that is expected."""
    return f"""\
try:
{indent(steps, "    ")}
except Exception:
    traceback.print_exc()
    return 1"""


def _tried(lines: str, *, leaves: bool = False, parts: Parts | None = None) -> str:
    shown = None if parts is None else parts.repro.shown
    judged = "return expected(error)"
    if leaves and isinstance(shown, Raised) and shown.leaves:
        left = (
            'left = sorted(each.name for each in directory.iterdir())\nprint("left behind:", left)'
        )
        last = "expected(error)\nreturn 1 if left else 0" if shown.refusal else judged
        judged = f"{left}\n{last}"
    return f"try:\n{indent(lines, '    ')}\nexcept Exception as error:\n{indent(judged, '    ')}"


def _ending(parts: Parts) -> str:
    look = parts.repro.look
    if look is None:
        return GONE
    if look.when is When.QUANTIZED:
        return f"return compare({look.wanted}, {look.seen})"
    return "return compare(wanted, seen)" if parts.repro.shown is None else ""
