"""What was loaded from directories with a past: for a terminal, and as a page.

python -m conformance.report.past docs/results/past.jsonl > docs/past.md
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from conformance.damage.fate import Fate
from conformance.past.result import Loader, Past, Pasts, read
from conformance.past.scenes import Kind
from conformance.report.text import folding_table, line, printable

COMMAND = "conformance past --results docs/results/past.jsonl"
PAGE = "python -m conformance.report.past docs/results/past.jsonl > docs/past.md"
KINDS = {
    Kind.OVER_FORMAT: "saved where the same model was saved in another format, or in the same",
    Kind.OVER_CONTENT: "saved where something else was: unquantized, another scheme, another model",
    Kind.BROKEN_OFF: "a save was killed (SIGKILL) at a random point, half of them over a whole one",
    Kind.AFTER_HALF: "saved over the files of a save that was cut in half",
    Kind.FULL_DISK: "no file takes more than so many bytes, half of them over a whole save",
    Kind.ODD_PLACE: "names with spaces, other alphabets, new lines, of 255 letters, paths of 3,600",
    Kind.LINKED: "a linked directory, linked files, hard links; and what they link to",
    Kind.OVER_ITSELF: "loaded, and saved again in the same directory",
    Kind.AT_ONCE: "two processes save to one directory",
    Kind.MEANWHILE: "read while another process goes on saving",
}
HEADERS = ("readings", "silent", "no result", "detected", "harmless")


def headline(found: Pasts) -> str:
    """Return the one sentence that counts."""
    readings, silent, lost, detected, harmless = _counts(found.results)
    return (
        f"{silent} of {readings} readings of directories with a past load without an error what"
        f" was not saved last; {detected} are errors, {harmless} harmless, {lost} without a result"
    )


def _counts(results: Sequence[Past]) -> tuple[int, ...]:
    fates = Counter(each.fate for each in results)
    return (
        len(results),
        *(fates[each] for each in (Fate.SILENT, None, Fate.DETECTED, Fate.HARMLESS)),
    )


def rows(found: Pasts) -> Iterator[list[str]]:
    """Yield a row of counts for every kind and loader."""
    for kind in KINDS:
        for loader in Loader:
            mine = [each for each in found.results if (each.kind, each.loader) == (kind, loader)]
            if mine:
                yield [kind, loader, *map(str, _counts(mine))]


def silent(found: Pasts) -> Iterator[list[str]]:
    """Yield a row for every scene and loader that was silent: what was loaded instead."""
    told = Counter(
        (each.scene, each.loader, each.got) for each in found.results if each.fate is Fate.SILENT
    )
    for (scene, loader, got), count in told.items():
        yield [scene, loader, got, str(count)]


MEANT = (Kind.BROKEN_OFF, Kind.FULL_DISK)
"""Pasts whose saves are meant to be broken off."""


def unreturned(found: Pasts) -> Iterator[list[str]]:
    """Yield a row for every save that raised or died where it should have returned."""
    told = {each.scene: each.saved for each in found.results if each.saved}
    kinds = {each.scene: each.kind for each in found.results}
    for scene, saved in told.items():
        if kinds[scene] not in MEANT:
            yield [scene, f"`{_code(saved)}`"]


def shown(found: Pasts) -> RenderableType:
    """Return everything for a terminal or a log."""
    table = folding_table("past", "loader", *HEADERS)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows(found):
        table.add_row(*map(Text, row))
    parts: list[RenderableType] = [line(headline(found)), Text(), table]
    listed = list(silent(found))
    if listed:
        loaded = folding_table("silent", "loader", "loaded instead", "times")
        for row in listed:
            loaded.add_row(*map(Text, row))
        parts += [Text(), loaded]
    for each in found.results:
        if each.fate is None:
            parts.append(line(f"{each.scene}: no result: {each.error}", "red"))
    return Group(*parts)


def as_json(found: Pasts) -> dict[str, Any]:
    """Return counts and the silent scenes, JSON-ready."""
    return {
        "headline": headline(found),
        "versions": dict(found.versions),
        "kinds": [
            {
                "kind": kind,
                "loader": loader,
                **dict(zip(HEADERS, map(int, numbers), strict=True)),
            }
            for kind, loader, *numbers in rows(found)
        ],
        "silent": [
            {"scene": scene, "loader": loader, "loaded": got, "times": int(times)}
            for scene, loader, got, times in silent(found)
        ],
    }


def page(found: Pasts) -> str:
    """Return the page of the documentation."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    errors = Counter(each.error for each in found.results if each.fate is Fate.DETECTED)
    sections = [
        "# Directories with a past",
        f"**{headline(found)}.**",
        f"Measured by `{COMMAND}`, CPU, under {versions}; this page by `{PAGE}`. `own` is the "
        "loader of the format that was saved last, told which files to take; `default` is "
        "`from_pretrained` without `use_safetensors`. After a save that returned, only what it "
        "saved is harmless; after one that raised or was killed, also what was whole before.",
        _table(("past", "loader", *HEADERS), rows(found)),
        "\n".join(f"- **{kind}**: {words}." for kind, words in KINDS.items()),
        "## Loaded without an error, and not what was saved last",
        _table(("past", "loader", "loaded instead", "times"), silent(found)),
        "`new` and `old` are two states of one quantized model, `plain` is it unquantized.",
        "## Saves that were meant to return, and did not",
        _table(("past", "the save"), unreturned(found)),
        "## Errors",
        "\n".join(f"- {count}: `{_code(each)}`" for each, count in errors.most_common(12)),
    ]
    return "\n\n".join(sections) + "\n"


def _table(headers: Sequence[str], found: Iterator[list[str]]) -> str:
    lines = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in found)])


def _code(text: str) -> str:
    return " ".join(printable(text).replace("`", "'").split())


if __name__ == "__main__":
    print(page(read(Path(sys.argv[1]))), end="")
