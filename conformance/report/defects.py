"""The catalogue of known defects: a page of the documentation, and single entries for a terminal.

python -m conformance.report.defects > docs/defects.md
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from conformance.case import find
from conformance.judging.defects import Defect, Part, Workaround
from conformance.judging.excuses import Differs
from conformance.judging.expectations import NONE_FOUND, Expectation
from conformance.report import text
from conformance.report.catalogue import defects, measurements
from conformance.report.repro.choose import example
from conformance.report.repro.defect import UNSCRIPTED

NONE_MEASURED = "none measured"
KEY = 120
"""Characters of a message in the table."""
SHOWN = 3
"""Different messages of one expectation on the page."""


def repro(defect: Defect) -> str:
    """Return the command that shows a defect; empty where nothing was measured."""
    part = next((each for each in defect.parts if each.measured.samples), None)
    if part is None:
        return ""
    case, expectation = part.measured.samples[0].case, part.expectation
    if case.endswith(".py"):
        return f"python {case}"
    name, _, reading = case.partition("@")
    if not reading:
        shown = example(expectation) or find(name)
        if shown.format.script is None or _unscripted(expectation):
            return _standalone(defect) or f"conformance run --select {shown.id}"
        return f"conformance repro {shown.id} --defect {expectation.name}"
    return f"conformance exchange -w golden -r ENV -s {name}"


def _unscripted(expectation: Expectation) -> bool:
    """Is it of a check that no script shows?"""
    excuse = expectation.excuse
    return isinstance(excuse, Differs) and excuse.check in UNSCRIPTED


def _standalone(defect: Defect) -> str:
    """Return the command of a script that shows the defect before what helps; empty without one."""
    scripts = (each for each in defect.workarounds if each.script and not each.under)
    return next((f"python {each.script}" for each in scripts), "")


def seen(counts: Mapping[str, tuple[int, int]]) -> str:
    """Say where it was seen, newest torchao first, and where it was looked for in vain."""
    there = [f"{_release(label)} ({n} of {of})" for label, (n, of) in counts.items() if n]
    not_there = [_release(label) for label, (n, _) in counts.items() if not n]
    words = [f"torchao {', '.join(there)}"] if there else ["not measured"]
    return "; ".join([*words, *([f"not under {', '.join(not_there)}"] if not_there else [])])


def _release(label: str) -> str:
    """Return the torchao of a label; which diffusers each has is told once."""
    return label.partition(",")[0].removeprefix("torchao")


def proof(workaround: Workaround) -> str:
    """Say what shows that it works."""
    cases = [f"{case} ({_verdicts(case)})" for case in workaround.cases]
    if workaround.script:
        under = f", under {workaround.under}" if workaround.under else ""
        cases.insert(0, f"python {workaround.script}{under}")
    return "; ".join(cases)


def _verdicts(case: str) -> str:
    """Say under which versions the case is usable; the others have their own reasons."""
    found: Mapping[str, str] = measurements()["proofs"].get(case, {})
    under = {
        verdict: [_release(label) for label, each in found.items() if each == verdict]
        for verdict in USABLE
    }
    return "; ".join(f"{v} under torchao {', '.join(names)}" for v, names in under.items() if names)


USABLE = ("pass", "altered")
"""Verdicts of cases that load with equal bits and outputs."""


def to_json(defect: Defect) -> dict[str, Any]:
    """Return an entry, JSON-ready."""
    return {
        "name": defect.name,
        "expectations": [_part(each) for each in defect.parts],
        "workarounds": [
            {"name": each.name, "says": each.says, "proof": proof(each)}
            for each in defect.workarounds
        ],
        "issues": list(defect.issues),
        "searched": list(defect.searched),
        "repro": repro(defect),
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "name": part.expectation.name,
        "kind": str(part.expectation.kind),
        "symptom": part.symptom,
        "message": part.text,
        "reason": part.expectation.reason,
        "declared": part.expectation.bounds,
        "measured": {label: list(count) for label, count in part.measured.counts.items()},
    }


def entry(defect: Defect, versions: Mapping[str, str]) -> Group:
    """Return an entry for a terminal or a log; `versions` are those that are installed."""
    parts: list[RenderableType] = [text.line(defect.name, "bold")]
    for part in defect.parts:
        parts += [Text(), *_told(part, versions)]
    parts.append(Text())
    parts += [_field("workaround", each) for each in _ways_around(defect)]
    parts += [_field("upstream", each) for each in _upstream(defect)]
    if command := repro(defect):
        parts.append(_field("repro", command))
    return Group(*parts)


def _told(part: Part, versions: Mapping[str, str]) -> Iterator[Text]:
    here = "holds" if part.expectation.holds_for(versions) else "does not hold"
    yield _field("symptom", part.symptom)
    yield _field("message", text.shortened(part.key_line))
    yield _field("why", part.expectation.reason)
    yield _field("seen", seen(part.measured.counts))
    if part.expectation.versions:
        yield _field("declared", f"{part.expectation.bounds}; {here} for what is installed")


def _field(name: str, words: str) -> Text:
    """Return one line: a log keeps it whole, so that it can be searched and copied."""
    return text.line(f"{name + ':':11} {words}")


def _ways_around(defect: Defect) -> list[str]:
    ways = [f"{each.says} Shown by: {proof(each)}" for each in defect.workarounds]
    return ways or [NONE_MEASURED]


def _upstream(defect: Defect) -> list[str]:
    if defect.issues:
        return list(defect.issues)
    return [f"{NONE_FOUND}; searched: {each}" for each in defect.searched if each]


def page(found: Iterable[Defect]) -> str:
    """Return the whole catalogue as Markdown."""
    found = tuple(found)
    environments = ", ".join(
        f"torchao {each['torchao']} with diffusers {each['diffusers']}"
        for each in measurements()["environments"].values()
    )
    lines = [
        "# Known defects",
        "Generated by `python -m conformance.report.defects > docs/defects.md` from the "
        "expectations, `judging/findings.toml` (what no case shows), `judging/defects.toml`, "
        "`judging/workarounds.toml` and "
        "`judging/measured.json`. To find an entry by a message or a traceback: "
        "`conformance explain 'invalid python storage'`, `pytest 2>&1 | conformance explain -`.",
        f"Measured on torch 2.13.0, CPU, Python 3.11, under {environments}: whole "
        "runs from 0.16 on, some cases an expectation (flux-tiny) before that (`conformance run`), "
        "and every golden file (`conformance exchange -w golden`). `0.18.0 (7 of 7)`: it was "
        "seen in 7 cases of the 7 that the expectation is "
        "about, were measured, and came as far. Of a release that is not named nothing is known.",
        "\n".join(["| entry | what it says |", "|---|---|", *map(_row, found)]),
        *(_section(each) for each in found),
    ]
    return "\n\n".join(lines) + "\n"


def _row(defect: Defect) -> str:
    said = dict.fromkeys(part.key_line.replace("`", "'")[:KEY] for part in defect.parts)
    cell = "<br>".join(f"`{each}`" for each in said).replace("|", "\\|")
    return f"| [{defect.name}](#{defect.name.replace('.', '')}) | {cell} |"


def _section(defect: Defect) -> str:
    parts = [f"## {defect.name}"]
    for part in defect.parts:
        parts.append("\n".join(_bullets(part)))
        parts += [f"```text\n{each}\n```" for each in _messages(part)]
    parts.append("\n".join(f"- Workaround: {_marked(each)}" for each in _ways_around(defect)))
    parts.append("\n".join(f"- Upstream: {_linked(each)}" for each in _upstream(defect)))
    if command := repro(defect):
        parts.append(f"- Repro: `{command}`")
    return "\n\n".join(parts)


def _bullets(part: Part) -> Iterator[str]:
    expectation = part.expectation
    yield f"- **{expectation.name}** ({expectation.kind}): {_marked(part.symptom)}"
    yield f"- Why: {_marked(expectation.reason)}"
    declared = f". Declared for: `{expectation.bounds}`" if expectation.versions else ""
    yield f"- Seen: {seen(part.measured.counts)}{declared}"


def _messages(part: Part) -> list[str]:
    """Return the exact messages, each once; what a check found has what was wanted and got."""
    if not part.measured.samples:
        return [part.text] if part.text else []
    found = []
    for sample in part.measured.samples:
        got = f" (wanted {sample.wanted}, got {sample.got})" if sample.wanted else ""
        kind = f"{sample.said[-1].type}: " if sample.said else ""
        found.append(f"{kind}{sample.message}{got}")
    return [_tidy(each) for each in dict.fromkeys(found)][:SHOWN]


def _tidy(message: str) -> str:
    lines = [line.rstrip() for line in message.replace("```", "'''").splitlines()]
    return "\n".join(line for line in lines if line)


def _marked(words: str) -> str:
    """Names with underscores or stars stay what they are in Markdown."""
    if "`" in words:
        return words
    return " ".join(f"`{w}`" if "__" in w or "*" in w or "<" in w else w for w in words.split())


def _linked(words: str) -> str:
    return f"<{words}>" if words.startswith("https://") else words


if __name__ == "__main__":
    print(page(defects()), end="")
