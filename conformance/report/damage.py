"""What became of damaged checkpoints: for a terminal, and as a page of the documentation.

python -m conformance.report.damage docs/results/{damage,executes-*}.jsonl.xz > docs/damage.md
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.damage.fate import Fate, Result
from conformance.damage.mutation import Kind
from conformance.damage.results import Damage, read
from conformance.report.text import folding_table, line, printable

COMMAND = "conformance damage --results damage.jsonl && xz damage.jsonl"
EXECUTES = (
    "conformance damage --only 'executes/*' -s 'flux-tiny.int8wo.quantize_.pickle*.cpu' "
    "-s 'flux-tiny.int8wo.quantize_.state-dict*.cpu' "
    "-s 'flux-tiny.int8wo.torchao-config.safetensors*.cpu' --env ENV"
)
PAGE = (
    "python -m conformance.report.damage docs/results/{damage,executes-*}.jsonl.xz > docs/damage.md"
)
NO_RESULT = "no result"
MESSAGES = 12
"""Messages of a format that the page shows."""
KINDS = {
    Kind.TRUNCATED: "a file ends at a boundary of its structure, or a byte before its end",
    Kind.HEADER_BIT: "a bit of a safetensors header, or of a zip archive's headers and directory",
    Kind.METADATA_BIT: "a bit of safetensors metadata, of a pickle, or of a JSON file",
    Kind.PAYLOAD_BIT: "a bit of a tensor",
    Kind.PAYLOAD_REWRITTEN: "a byte of a tensor, with the zip checksum made anew",
    Kind.SHARD_MISSING: "a shard, or the index, is not there",
    Kind.SHARDS_SWAPPED: "two shards have each other's names",
    Kind.SHARD_DUPLICATED: "a shard lies under another's name, too",
    Kind.SHARD_STALE: "a shard is that of an earlier save, with other weights",
    Kind.INDEX: "the index says something wrong",
    Kind.CONFIG_MISSING: "there is no config.json, or nothing in it",
    Kind.CONFIG_EDITED: "a value of config.json is gone or another",
    Kind.METADATA_STRIPPED: "safetensors metadata is gone, or an entry of it",
    Kind.METADATA_EDITED: "safetensors metadata, or a class or a word in a pickle, is another",
    Kind.KEY_RENAMED: "a tensor has another name",
    Kind.KEY_DROPPED: "a tensor is not there any more",
    Kind.KEYS_SWAPPED: "two tensors of one dtype and shape have each other's names",
    Kind.DTYPE_EDITED: "a tensor's dtype is another",
    Kind.SHAPE_EDITED: "a tensor's shape, or a number in a pickle, is another",
    Kind.ABSURD: "a length or size that no file has",
    Kind.BOMB: "an entry of a zip archive is compressed, or unpacks to 128 MiB more",
    Kind.EXECUTES: "a pickle that would be executed, instead of the weights or beside them",
    Kind.ANYWHERE: "bytes are changed, zeroed, moved, taken out or put in anywhere",
}

Select = Callable[[Result], bool]
COLUMNS: dict[str, Select] = {
    "mutations": lambda _: True,
    "silent": lambda each: each.fate is Fate.SILENT,
    NO_RESULT: lambda each: each.fate is None,
    "detected": lambda each: each.fate is Fate.DETECTED,
    "harmless": lambda each: each.fate is Fate.HARMLESS,
}
OF_THE_SILENT: dict[str, Select] = {
    "warned": lambda each: each.warned,
    "cannot be called": lambda each: bool(each.called),
    "bits differ": lambda each: "bits" in each.differs,
    "inspect tells": lambda each: each.inspected,
}
"""Of those that load silently: did a library warn, does calling the model raise, ..."""


def count(results: Iterable[Result], select: Select) -> int:
    """Count those that a column is about."""
    return sum(1 for each in results if select(each))


def silent(results: Iterable[Result]) -> list[Result]:
    """Return those that load without an error to something else."""
    return [each for each in results if each.fate is Fate.SILENT]


def formats(results: Iterable[Result]) -> list[str]:
    """Return the formats in the order in which they were measured."""
    return list(dict.fromkeys(each.format for each in results))


def headline(damage: Damage) -> str:
    """Return the one sentence that counts."""
    found = damage.results
    numbers = {name: count(found, select) for name, select in COLUMNS.items()}
    told = count(silent(found), OF_THE_SILENT["inspect tells"])
    text = (
        f"{numbers['silent']} of {len(found)} damaged checkpoints load without an error to"
        f" something else (`conformance inspect` tells {told} of them);"
        f" {numbers['detected']} are detected, {numbers['harmless']} harmless,"
        f" {numbers[NO_RESULT]} without a result; {_executed(found)}"
    )
    missing = sum(damage.header.planned.values()) - len(found)
    return text + (f"; broken off, {missing} were not read" if missing else "")


def _executed(found: Iterable[Result]) -> str:
    ran = [each.ran for each in found if each.kind == Kind.EXECUTES]
    if not ran:
        return "no pickle that executes something was tried"
    return f"of {len(ran)} pickles that would execute something, {sum(ran) or 'none'} did"


def rows(results: Sequence[Result], name: str, values: Iterable[str]) -> Iterator[list[str]]:
    """Yield a row of counts for every value of a field that occurs."""
    for value in values:
        mine = [each for each in results if getattr(each, name) == value]
        if mine:
            yield [value, *_counts(mine)]


def _counts(results: list[Result]) -> list[str]:
    counted = [count(results, select) for select in COLUMNS.values()]
    of_them = [count(silent(results), select) for select in OF_THE_SILENT.values()]
    return [str(each) for each in (*counted, *of_them)]


HEADERS = (*COLUMNS, *(f"silent: {each}" for each in OF_THE_SILENT))


def shown(damage: Damage) -> RenderableType:
    """Return everything for a terminal or a log: headline, formats, kinds by format."""
    parts: list[RenderableType] = [line(headline(damage)), Text()]
    parts += [_table("format", rows(damage.results, "format", formats(damage.results)))]
    for each in formats(damage.results):
        mine = [result for result in damage.results if result.format == each]
        parts += [Text(), line(each, "bold"), _table("kind", rows(mine, "kind", KINDS))]
    for odd in damage.results:
        if odd.fate is None or odd.spoils or odd.ran:
            parts.append(line(f"{odd.case} {odd.kind}/{odd.name}: {_odd(odd)}", "red"))
    return Group(*parts)


def _odd(result: Result) -> str:
    if result.ran:
        return "it was executed"
    if result.fate is None:
        return f"no result: {result.no_result}: {result.error}"
    return "spoils what the same process loads next"


def _table(first: str, found: Iterable[list[str]]) -> Table:
    table = folding_table(first, *HEADERS)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in found:
        styled = [Text(cell) for cell in row]
        if row[2] != "0":
            styled[2].stylize("bold red")
        table.add_row(*styled)
    return table


def as_json(damage: Damage) -> dict[str, Any]:
    """Return the counts, JSON-ready."""
    return {
        "headline": headline(damage),
        "complete": damage.complete,
        "seed": damage.header.seed,
        "versions": dict(damage.header.versions),
        "formats": {
            form: {
                row[0]: dict(zip(HEADERS, map(int, row[1:]), strict=True))
                for row in rows([r for r in damage.results if r.format == form], "kind", KINDS)
            }
            for form in formats(damage.results)
        },
    }


# The page


def page(damage: Damage, elsewhere: Sequence[Damage] = ()) -> str:
    """Return the page of the documentation.

    Args:
        damage: A whole run under the newest versions.
        elsewhere: What became of pickles that would execute something, under other versions.
    """
    found, header = damage.results, damage.header
    versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
    sections = [
        "# Damaged checkpoints",
        f"**{headline(damage)}.**",
        f"Measured by `{COMMAND}` (seed {header.seed}), CPU, under {versions}; this page by "
        f"`{PAGE}`. One checkpoint a format, of the case that is named below; every mutation is "
        "read by a forked process with 2 GiB of memory and 30 s, and compared with what the same "
        "process reads from the undamaged files: bits of every inner tensor, structure, output.",
        LEGEND,
        *(f"Not written: `{case}`: `{_code(why)}`" for case, why in header.unwritten.items()),
        _markdown("format", rows(found, "format", formats(found))),
        "## Silent by kind and format",
        "`silent / mutations`; empty where a format has no such thing.",
        _grid(found),
        "\n".join(f"- **{kind}**: {words}." for kind, words in KINDS.items()),
        *_executes(elsewhere),
        *(_section(each, found) for each in formats(found)),
    ]
    return "\n\n".join(sections) + "\n"


LEGEND = (
    "- **silent**: it loads without an error, to other bits, another structure or another output. "
    "Of these: the libraries *warned*; the model *cannot be called*; *bits* of a tensor *differ*; "
    "`conformance inspect` *tells* from the files alone that something is wrong.\n"
    "- **no result**: the process died, hung, or met its limit of memory.\n"
    "- **detected**: the loader raised. **harmless**: the same bits, structure and output."
)


def _executes(elsewhere: Sequence[Damage]) -> Iterator[str]:
    if not elsewhere:
        return
    yield "## Pickles that would execute something, by version"
    yield (
        f"Measured by `{EXECUTES}` in each environment. Each pickle makes a file when a plain "
        "`pickle.load` reads it, and does nothing else; *executed* are those that made it. Loaded "
        "are those that lie beside safetensors and were not read."
    )
    lines = [
        "| torch | torchao | diffusers | pickles | executed | detected | loaded | no result |",
        f"|{'---|' * 3}{'---:|' * 5}",
    ]
    for each in sorted(elsewhere, key=_torchao, reverse=True):
        versions = [
            each.header.versions.get(name, "") for name in ("torch", "torchao", "diffusers")
        ]
        fates = Counter(result.fate for result in each.results)
        numbers = (
            len(each.results),
            sum(result.ran for result in each.results),
            fates[Fate.DETECTED],
            fates[Fate.HARMLESS] + fates[Fate.SILENT],
            fates[None],
        )
        lines.append(f"| {' | '.join((*versions, *map(str, numbers)))} |")
    yield "\n".join(lines)


def _torchao(damage: Damage) -> Version:
    return Version(damage.header.versions.get("torchao", "0"))


def _markdown(first: str, found: Iterable[list[str]]) -> str:
    lines = [
        f"| {' | '.join((first, *HEADERS))} |",
        f"|---|{'---:|' * len(HEADERS)}",
        *(f"| {' | '.join(row)} |" for row in found),
    ]
    return "\n".join(lines)


def _grid(found: Sequence[Result]) -> str:
    names = formats(found)
    lines = [f"| kind | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for kind in KINDS:
        mine = [[r for r in found if (r.kind, r.format) == (kind, form)] for form in names]
        cells = [f"{len(silent(each))} / {len(each)}" if each else "" for each in mine]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _section(form: str, found: Sequence[Result]) -> str:
    mine = [each for each in found if each.format == form]
    parts = [
        f"## {form}",
        f"`{mine[0].case}`",
        _markdown("kind", rows(mine, "kind", KINDS)),
        *_list("Silent, by what differs", map(_silently, silent(mine))),
        *_list("No result", (each.error for each in mine if each.fate is None)),
        *_list(
            "Spoils what the same process loads next",
            (f"{each.kind}/{each.name}" for each in mine if each.spoils),
        ),
        *_list("Detected by", (each.error for each in mine if each.fate is Fate.DETECTED)),
    ]
    return "\n\n".join(parts)


def _silently(result: Result) -> str:
    called = f"; called: {result.called}" if result.called else ""
    return f"{', '.join(result.differs)}{called}"


def _list(title: str, said: Iterable[str]) -> Iterator[str]:
    counted = Counter(said).most_common()
    if counted:
        yield f"{title}:"
        lines = [f"- {n}: `{_code(each)}`" for each, n in counted[:MESSAGES]]
        rest = sum(n for _, n in counted[MESSAGES:])
        yield "\n".join([*lines, *([f"- {rest}: other messages"] if rest else [])])


def _code(text: str) -> str:
    """Nothing that a library says ends the code span, the line, or the page."""
    return " ".join(printable(text).replace("`", "'").split())


if __name__ == "__main__":
    whole, *others = (read(Path(each)) for each in sys.argv[1:])
    print(page(whole, others), end="")
