"""What inspection found, for a terminal, a log, and as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conformance.inspection.advice import Advice
from conformance.inspection.config import Config
from conformance.inspection.findings import Finding, Kind
from conformance.inspection.kinds import describe
from conformance.inspection.readers import UNMEASURED, Answer, Measured, Read
from conformance.inspection.weights import Weight, payload
from conformance.inspection.whole import Checkpoint, StateDict, totals
from conformance.report.text import folding_table, line, printable

MODULES_SHOWN = 4
FINDINGS_SHOWN = 30
STYLES = {
    Kind.HOSTILE: "bold white on red",
    Kind.DAMAGED: "bold red",
    Kind.MISSING: "bold red",
    Kind.DISAGREES: "bold yellow",
    Kind.STALE: "bold yellow",
    Kind.NOTE: "dim",
}
STYLES_OF_READS = {
    Read.EQUAL: "green",
    Read.ALTERED: "green",
    Read.REFUSED: "cyan",
    Read.FAILED: "red",
    Read.DIFFERS: "bold white on red",
    Read.CORRUPT: "bold white on red",
}
LEGEND = "= bits equal  a altered  R refused  F failed  O output differs  C corrupt  . not measured"


@dataclass(frozen=True)
class Inspected:
    """One checkpoint with what to do about it."""

    checkpoint: Checkpoint
    advice: Advice


def size(count: int) -> str:
    """Return bytes as people read them."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count:,} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


def shown(title: str, found: Sequence[Inspected], measured: Measured) -> RenderableType:
    """Return everything about what was inspected."""
    blocks: list[RenderableType] = []
    for each in found:
        folder = each.checkpoint.name
        blocks += [line(f"{title}/{folder}" if folder else title, "bold"), *_one(each, measured)]
        blocks.append(Text())
    return Group(*blocks, _verdict(found))


def _one(each: Inspected, measured: Measured) -> Iterator[RenderableType]:
    checkpoint = each.checkpoint
    for found in checkpoint.state_dicts:
        yield line(f"  {_summary(found, first=found is checkpoint.loaded)}")
    if checkpoint.config is not None:
        yield line(f"  config.json: {_config(checkpoint)}")
    if checkpoint.loaded.weights:
        yield Text()
        yield Padding(_layers(checkpoint.loaded.weights), (0, 0, 0, 2))
    if each.advice.answer is not None and each.advice.answer.reads:
        yield Text()
        yield Padding(_readers(each.advice.answer, measured), (0, 0, 0, 2))
        yield line(f"  {LEGEND}", "dim")
    if checkpoint.findings:
        yield Text()
        yield from _findings(checkpoint.findings)
    yield Text()
    for sentence in each.advice.sentences:
        yield Padding(Text(printable(sentence)), (0, 0, 0, 2))


def _summary(found: StateDict, *, first: bool) -> str:
    quantized, all_ = len(found.quantized), len(found.weights)
    files = f"{len(found.files)} files, " if len(found.files) != 1 else ""
    container = found.container or "unreadable"
    read = "" if first else " (not what a load takes)"
    return (
        f"{found.set.name}: {files}{size(found.size)}, {container}; "
        f"{quantized} of {all_} tensors quantized{read}"
    )


def _config(checkpoint: Checkpoint) -> str:
    config = checkpoint.config
    if config is None:
        return ""
    who = f"{config.class_name or 'no class'}, diffusers {config.diffusers or 'unknown'}"
    said = ", ".join(
        each.type + ("" if each.version is None else f" version {each.version}")
        for each in config.said
    )
    return f"{who}; {said or config.method or 'nothing about quantization'}"


def _layers(weights: Sequence[Weight]) -> Table:
    table = folding_table("tensors", "bytes", "subclass", "scheme", "layers")
    for column in table.columns[:2]:
        column.justify = "right"
    for (subclass, scheme), mine in grouped(weights).items():
        style = "" if mine[0].quantized else "dim"
        classes = subclass.replace("/", " / ")  # so that a narrow table breaks between them
        row = (f"{len(mine):,}", size(payload(mine)), classes, scheme, _places(mine))
        table.add_row(*(Text(printable(each)) for each in row), style=style)
    return table


def grouped(weights: Iterable[Weight]) -> dict[tuple[str, str], list[Weight]]:
    """Group weights by subclass and scheme, quantized ones first."""
    found: dict[tuple[str, str], list[Weight]] = {}
    for weight in sorted(weights, key=lambda each: not each.quantized):
        scheme = str(describe(weight)) if weight.quantized else weight.dtype
        found.setdefault((weight.subclass or "plain", scheme), []).append(weight)
    return found


def _places(weights: Sequence[Weight]) -> str:
    """Name the outermost modules, and how many of the weights are in each."""
    found = Counter(weight.key.partition(".")[0] for weight in weights)
    told = [f"{name} x{count}" if count > 1 else name for name, count in found.most_common()]
    more = f" and {len(told) - MODULES_SHOWN} more" if len(told) > MODULES_SHOWN else ""
    return ", ".join(told[:MODULES_SHOWN]) + more


def _readers(answer: Answer, measured: Measured) -> Table:
    """A row of letters, or one for each writer where it depends on who wrote it."""
    table = folding_table(f"read by torchao ({answer.sure})", *measured.readers)
    for column in table.columns[1:]:
        column.justify = "center"
    rows = answer.by_writer if answer.mixed else {"": answer.reads}
    for writer, reads in rows.items():
        title = f"if {writer} wrote it" if writer else "whichever wrote it"
        table.add_row(Text(title), *(_letter(reads.get(each)) for each in measured.readers))
    return table


def _letter(read: Read | None) -> Text:
    return Text(UNMEASURED, "dim") if read is None else Text(read, STYLES_OF_READS[read])


def _findings(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    for each in findings[:FINDINGS_SHOWN]:
        text = Text.assemble(
            (f"{each.kind}", STYLES[each.kind]), f" {printable(each.where)}: {printable(each.what)}"
        )
        if each.mend:
            text.append(f"; {printable(each.mend)}")
        yield Padding(text, (0, 0, 0, 2))
    if len(findings) > FINDINGS_SHOWN:
        yield line(f"  and {len(findings) - FINDINGS_SHOWN} more; --json has them all")


def _verdict(found: Sequence[Inspected]) -> Text:
    wrong = [f for each in found for f in each.checkpoint.findings if f.kind.wrong]
    count = sum(each.checkpoint.bytes_read for each in found)
    total = sum(s.size for each in found for s in each.checkpoint.state_dicts)
    read = f"read {size(count)} of {size(total)}; nothing was unpickled"
    if not wrong:
        return line(f"nothing wrong found; {read}", "green")
    kinds = ", ".join(dict.fromkeys(str(each.kind) for each in wrong))
    plural = "thing" if len(wrong) == 1 else "things"
    return line(f"{len(wrong)} {plural} wrong ({kinds}); {read}", "bold red")


def as_json(title: str, found: Sequence[Inspected], measured: Measured) -> Mapping[str, Any]:
    """Return everything about what was inspected, JSON-ready."""
    return {
        "path": title,
        "wrong": any(each.checkpoint.wrong for each in found),
        "readers": measured.readers,
        "checkpoints": [_checkpoint_json(each) for each in found],
    }


def _checkpoint_json(each: Inspected) -> dict[str, Any]:
    checkpoint, answer = each.checkpoint, each.advice.answer
    config = checkpoint.config
    return {
        "name": checkpoint.name,
        "files": [
            {"name": file.name, "bytes": file.size, "container": file.container}
            for found in checkpoint.state_dicts
            for file in found.files
        ],
        "loaded": checkpoint.loaded.set.name,
        "bytes_read": checkpoint.bytes_read,
        "config": None if config is None else _config_json(config),
        "dtypes": totals(checkpoint.loaded.weights),
        "weights": [_weight_json(weight) for weight in checkpoint.loaded.weights],
        "names": sorted({name for file in checkpoint.loaded.files for name in file.names}),
        "findings": [vars(finding) for finding in checkpoint.findings],
        "read_by": None if answer is None else {**vars(answer), "usable": answer.usable},
        "advice": each.advice.sentences,
    }


def _config_json(config: Config) -> dict[str, Any]:
    said = [{"type": each.type, "version": each.version} for each in config.said]
    return {**vars(config), "said": said}


def _weight_json(weight: Weight) -> dict[str, Any]:
    return {
        "key": weight.key,
        "subclass": weight.subclass,
        "scheme": str(describe(weight)) if weight.quantized else "",
        "dtype": weight.dtype,
        "shape": weight.shape,
        "bytes": weight.bytes,
        "parts": {
            name: {"dtype": part.dtype, "shape": part.shape} for name, part in weight.parts.items()
        },
        "attributes": weight.attributes,
    }
