"""Large cases: what they will need, how far one is, and what they measured. Runs nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from conformance._compat import StrEnum
from conformance.axes import registry
from conformance.axes.base import Size
from conformance.judging.results import Result, Results
from conformance.report.text import folding_table
from conformance.roundtrip.budget import bound
from conformance.roundtrip.outcome import Progress
from conformance.roundtrip.planning import Planned

GB = 10**9
PARTS = (
    "build",
    "quantize",
    "digest",
    "reference",
    "forward",
    "save",
    "inspect",
    "load",
    "bits",
    "output",
)
"""Of a large case, in order."""
FORETELLS = 1000
"""The part of the work, as its inverse, from which the time that is left can be told."""
READING = PARTS[-3:]
"""Those of the reader."""
RATES = {
    "write": "write",
    "read": "read",
    "inspect": "read by the writer",
    "reread": "read by the reader",
    "copy": "copy",
}
"""What is measured of a machine, by name."""
KINDS = ("its own", "its files")
"""Of the memory of a process."""
GPUS = ("writer's GPU", "reader's GPU")
RATIOS = {"bits": "load"}
"""Loading and digesting are one ratio: a mapped file is read when it is digested."""


def gigabytes(count: float) -> str:
    """Render bytes."""
    return f"{count / GB:.2f} GB"


def plan_table(rows: Iterable[Planned]) -> Table:
    """Return what each case will need."""
    table = folding_table("case", "payload", "memory", "disk", "about", "here")
    for each in rows:
        sizes = [gigabytes(count) for count in (each.payload, each.memory, each.disk)]
        here = f"no result: {each.reason}" if each.reason else "runs"
        table.add_row(each.case, *sizes, f"{each.seconds:.0f} s" if each.seconds else "", here)
    return table


def plan_line(rows: Sequence[Planned]) -> str:
    """Return the sum of a plan in one sentence."""
    run = [each for each in rows if not each.reason]
    minutes = sum(each.seconds for each in run) / 60
    most = max((each.memory for each in run), default=0)
    disk = max((each.disk for each in run), default=0)
    return (
        f"{len(run)} of {len(rows)} cases can be measured here, one after the other, in about "
        f"{minutes:.0f} min, with {gigabytes(most)} of memory and {gigabytes(disk)} of disk"
    )


def progress_line(case: str, now: Progress, seconds: float) -> str:
    """Return how far a case is, for a log.

    Args:
        case: its id.
        now: the part at work.
        seconds: since that part began.
    """
    if not now.total or now.done < max(1, now.total / FORETELLS):
        return f"{case}: {now.part}, {seconds:.0f} s"
    left = seconds * (now.total - now.done) / now.done
    amount = f"{now.done / GB:.1f} of {gigabytes(now.total)}"
    return f"{case}: {now.part} {amount}, {left:.0f} s left"


class Within(StrEnum):
    """Whether memory stayed within the bound; the later, the worse."""

    YES = "yes"
    ITS_OWN = "its own"
    """What the process allocated did; with pages of files, which can be taken back, it did not."""
    NO = "no"


@dataclass(frozen=True)
class Cost:
    """What one part of a large case took."""

    part: str
    seconds: float
    ratio: float | None
    """By the floor that the same run measured; None where there is none."""
    peak: float
    """Bytes resident at once."""
    anonymous: float
    mapped: float
    bound: float
    gpu: float | None = None
    """Bytes of torch's allocator at once; None where no GPU was in use."""

    @property
    def within(self) -> Within:
        """Did it stay within the bound?"""
        if self.peak <= self.bound:
            return Within.YES
        return Within.ITS_OWN if self.anonymous <= self.bound else Within.NO


def costs(measures: Mapping[str, float]) -> Iterator[Cost]:
    """Yield the parts that a case went through."""
    held = measures.get("payload_bytes", 0.0) + measures.get("buffer_bytes", 0.0)
    for part in PARTS:
        if f"{part}.seconds" in measures and held:
            yield Cost(
                part,
                measures[f"{part}.seconds"],
                measures.get(f"{RATIOS.get(part, part)}.ratio") if part != "load" else None,
                measures[f"{part}.peak_bytes"],
                measures[f"{part}.anonymous_bytes"],
                measures[f"{part}.mapped_bytes"],
                bound(held),
                measures.get(f"{part}.gpu_bytes"),
            )


def measured_tables(runs: Iterable[Results]) -> str:
    """Return the sizes on disk and the costs of all large cases of several runs, as Markdown.

    A case without measurements is named with the reason.
    """
    runs = list(runs)
    results = [each for run in runs for each in run.cases.values() if _is_large(each.outcome.case)]
    large = [each for each in results if "save.seconds" in each.outcome.measures]
    blocks = [*dict.fromkeys(_machine(run) for run in runs), "\n### Verdicts\n"]
    blocks += [*_verdicts(results), "\n### Sizes\n", *_sizes(large), "\n### Seconds\n"]
    blocks += [*_seconds(large), "\n### Memory\n", *_memory(large), "\n### Floors\n"]
    return "\n".join([*blocks, *_floors(large)]) + "\n"


def measured_json(runs: Iterable[Results]) -> list[dict[str, Any]]:
    """Return what all large cases of several runs came to and took, JSON-ready."""
    return [
        {**each.judgement.to_json(), "measures": dict(each.outcome.measures)}
        for run in runs
        for each in run.cases.values()
        if _is_large(each.outcome.case)
    ]


def _is_large(case: str) -> bool:
    subject = registry.subjects().get(case.split(".")[0])
    return subject is not None and subject.size is Size.FULL


def _machine(run: Results) -> str:
    header = run.header
    versions = ", ".join(f"{name} {header.versions[name]}" for name in sorted(header.versions))
    hardware = ", ".join(f"{name} {header.hardware[name]}" for name in sorted(header.hardware))
    return f"Measured with {versions}; {hardware}.\n"


def _verdicts(results: Iterable[Result]) -> Iterator[str]:
    yield "| case | verdict | as expected | why |"
    yield "|---|---|---|---|"
    for each in results:
        judged, ended = each.judgement, each.outcome.no_result
        came = str(judged.verdict) if ended is None else f"no result: {ended.kind}"
        reasons = (*judged.reasons, *judged.covered_by)
        why = "; ".join(reasons) if ended is None else ended.reason.splitlines()[0]
        cells = [judged.case, came, "yes" if judged.as_expected else "no", why]
        yield f"| {' | '.join(cells)} |"


def _sizes(large: Iterable[Result]) -> Iterator[str]:
    yield "| case | bf16 bytes | payload bytes | file bytes | files / bf16 | promised |"
    yield "|---|---:|---:|---:|---:|---:|"
    for each in large:
        measured = each.outcome.measures
        if "file_bytes" not in measured:
            continue
        numbers = [measured[f"{name}_bytes"] for name in ("bf16", "payload", "file")]
        cells = [f"{number:,.0f}" for number in numbers]
        cells += [f"{numbers[2] / numbers[0]:.4f}", f"{_promise(each.outcome.case):.2f}"]
        yield f"| {each.outcome.case} | {' | '.join(cells)} |"


def _promise(case: str) -> float:
    return registry.schemes()[case.split(".")[1]].reduction


def _seconds(large: Iterable[Result]) -> Iterator[str]:
    yield _row("case", "in all", *PARTS, "load and bits by the disk")
    yield f"|---|{'---:|' * (2 + len(PARTS))}"
    for each in large:
        parts = {part.part: part for part in costs(each.outcome.measures)}
        total = sum(step.seconds for step in each.outcome.steps)
        cells = [_timed(parts.get(part)) for part in PARTS]
        yield _row(each.outcome.case, f"{total:.0f}", *cells, _by_disk(each.outcome.measures))


def _by_disk(measured: Mapping[str, float]) -> str:
    """Render loading and digesting by the time that the disk takes for as many bytes."""
    if not measured.keys() >= {"load.seconds", "bits.seconds", "floor.read"}:
        return ""
    took = measured["load.seconds"] + measured["bits.seconds"]
    return f"{took * measured['floor.read'] / measured['payload_bytes']:.2f}"


def _timed(part: Cost | None) -> str:
    if part is None:
        return ""
    return f"{part.seconds:.1f}" + ("" if part.ratio is None else f" ({part.ratio:.2f})")


def _memory(large: Iterable[Result]) -> Iterator[str]:
    cases = [(each.outcome.case, list(costs(each.outcome.measures))) for each in large]
    on_gpu = any(part.gpu is not None for _, parts in cases for part in parts)
    yield _row("case", "bound", *("writer", *KINDS), *("reader", *KINDS), "within", *GPUS * on_gpu)
    yield f"|---|{'---:|' * 7}---|{'---:|---:|' * on_gpu}"
    for case, parts in cases:
        if not parts:
            continue
        halves = [
            [part for part in parts if (part.part in READING) is read] for read in (False, True)
        ]
        worst = max((part.within for part in parts), key=list(Within).index)
        cells = [*_peak(halves[0]), *_peak(halves[1]), worst, *map(_gpu, halves * on_gpu)]
        yield _row(case, gigabytes(parts[0].bound), *cells)


def _gpu(parts: Iterable[Cost]) -> str:
    """Return the most memory of a GPU in any of the parts."""
    return gigabytes(most) if (most := max((part.gpu or 0.0 for part in parts), default=0)) else ""


def _peak(parts: Sequence[Cost]) -> tuple[str, str, str]:
    """Return the most of each kind of memory that a process had in any of its parts."""
    if not parts:
        return "", "", ""
    kinds = ("peak", "anonymous", "mapped")
    peak, own, mapped = (gigabytes(max(getattr(part, kind) for part in parts)) for kind in kinds)
    return peak, own, mapped


def _floors(large: Iterable[Result]) -> Iterator[str]:
    yield _row("case", *(f"{words}, GB/s" for words in RATES.values()), "quantize_, M weights/s")
    yield f"|---|{'---:|' * (1 + len(RATES))}"
    for each in large:
        measured = {name: each.outcome.measures.get(f"floor.{name}") for name in RATES}
        cells = ["" if rate is None else f"{rate / GB:.2f}" for rate in measured.values()]
        weights = each.outcome.measures.get("floor.quantize")
        last = "" if weights is None else f"{weights / 10**6:.0f}"
        yield _row(each.outcome.case, *cells, last)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
