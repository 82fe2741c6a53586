"""What a repro says in plain words: in its docstring, at its end, and as an issue."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import wrap

from conformance.report.repro.defect import Found, Raised
from conformance.report.repro.plan import WIDTH, Repro
from conformance.roundtrip.checks import all_checks
from conformance.roundtrip.outcome import Stage

STEPS = {
    Stage.QUANTIZE: "quantizing",
    Stage.SAVE: "saving",
    Stage.LOAD: "loading",
    Stage.STRUCTURE: "looking at what was loaded",
    Stage.OUTPUT: "calling what was loaded",
    Stage.RESAVE: "saving what was loaded",
}


@dataclass(frozen=True)
class Words:
    """The same facts as sentences."""

    title: str
    """What is wrong, on one line."""
    wanted: str
    saw: str
    after: str
    """What was raised first and is hidden behind that, or nothing."""
    reason: str
    """Why it is so, as far as that is known."""
    issue: str
    """A link, or nothing."""
    doc: tuple[str, ...]
    """The lines of the docstring."""


def words(repro: Repro, lines: int = 2) -> Words:
    """Return what is to be said about a script.

    Args:
        repro: what is shown.
        lines: of the docstring for each fact; 0 for one line, and none for why it is so.
    """
    title, wanted, saw = _title(repro), _wanted(repro), _saw(repro)
    reason, issue = (repro.defect.reason, repro.defect.issue) if repro.defect else ("", "")
    after = repro.shown.cause if isinstance(repro.shown, Raised) else ""
    told = {"Wanted": wanted, "Saw": saw, "After": after, "Why": reason if lines else ""}
    note = "" if repro.apart else repro.note  # the title has it
    told |= {"See": issue, "Note": note, "Case": repro.case.id}
    doc = _doc(title, told, EXIT if repro.defect else EXIT_OF_A_PASS, max(1, lines))
    return Words(title, wanted, saw, after, reason, issue, doc)


def words_of_writer(repro: Repro, lines: int = 2) -> Words:
    """Return what is to be said about a script that only writes, as `words` does."""
    told = {"Note": repro.note, "Case": repro.case.id}
    title = f"Save a {_subject(repro)} for reader.py"
    return Words(title, "", "", "", "", "", _doc(title, told, EXIT_OF_A_WRITER, max(1, lines)))


def words_of_driver(repro: Repro) -> Words:
    """Return what is to be said about the script that runs both, as `words` does."""
    told = words(repro)
    title = "Run writer.py, then reader.py, each with the versions that it pins"
    doc = _doc(title, {"Shows": told.title}, EXIT if repro.defect else EXIT_OF_A_PASS, 2)
    return replace(told, doc=doc)


def _subject(repro: Repro) -> str:
    quantized = repro.built.text.partition("(")[0]
    return f"{repro.case.subject.family.class_name} with {quantized}"


def _title(repro: Repro) -> str:
    shown, about = repro.shown, _subject(repro)
    if repro.apart:
        about += f", {repro.note}"
    if shown is None:
        return f"{about}{',' if repro.apart else ''} comes back as it was saved"
    where = " in a fresh process" if repro.fresh and not repro.apart else ""
    if isinstance(shown, Raised):
        if shown.leaves and shown.refusal:
            return f"{about}: a refused save leaves files behind"
        return f"{about}: {STEPS.get(shown.stage, str(shown.stage))} raises {shown.type}{where}"
    return f"{about}: {shown.what}{where}"


def _wanted(repro: Repro) -> str:
    shown = repro.shown
    if shown is None:
        return "every inner tensor and the output, bit for bit" if repro.calls else _BITS
    if isinstance(shown, Found):
        return asked(shown.check)
    if repro.defect is not None and repro.defect.unsupported:
        return "that it is supported; it is refused by design, so 1 means: still refused"
    if shown.leaves and shown.refusal:
        return "a refusal that leaves nothing behind, or no refusal"
    return f"{STEPS.get(shown.stage, str(shown.stage))} without an error"


def asked(check: str) -> str:
    """Return what a check wants, by the first sentence of its page."""
    by_name = {each.name: each.run.__module__ for each in all_checks()}
    page = sys.modules[by_name[check]].__doc__ or ""
    sentence = " ".join(page.partition("\n\n")[0].split()).rstrip(".")
    return sentence[:1].lower() + sentence[1:]


_BITS = "every inner tensor, bit for bit"


def _saw(repro: Repro) -> str:
    shown = repro.shown
    if shown is None:
        return ""
    if isinstance(shown, Found):
        return _difference(shown)
    message = shown.message.strip().partition("\n")[0] or _plainly(shown.match)
    left = ", and files stay behind" if shown.leaves else ""
    return f"{shown.type}: {message[:200].rstrip('.')}{left}"


def _difference(found: Found) -> str:
    where = f" in {found.path}" if found.path else ""
    if not found.wanted + found.got:
        return found.what + where
    wanted, got = found.wanted.splitlines() or [""], found.got.splitlines() or [""]
    return f"{found.what}{where}: wanted {wanted[0][:80]}, got {got[0][:80]}"


def _plainly(pattern: str) -> str:
    """Return a regular expression as a person would write what it matches."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"\\w\+|\.\*", "...", pattern.strip("^$")))


EXIT = "Exit status: 1 while that is so, 0 when it is gone, 125 when it cannot be told."
EXIT_OF_A_PASS = "Exit status: 0 while that is so, 1 when it is not, 125 when it cannot be told."
EXIT_OF_A_WRITER = "Exit status: 0 when it is written, 125 when it cannot be."


def _doc(title: str, told: Mapping[str, str], exits: str, most: int) -> tuple[str, ...]:
    facts = (f"{name}: {text}" for name, text in told.items() if text)
    lines = [line for fact in facts for line in _wrapped(fact, most)]
    return (*wrap(f"{title}.", WIDTH - 3, break_long_words=False), "", *lines, exits)


def _wrapped(text: str, most: int) -> list[str]:
    """Wrap at the width, and cut off what would need more lines."""
    return wrap(
        text,
        WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most,
        placeholder=" ...",
    )
