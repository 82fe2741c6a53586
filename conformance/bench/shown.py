"""The benchmark of pipelines as a table and as a plot; published numbers stand apart."""

import importlib.util
from pathlib import Path
from typing import Any

from conformance.bench.benched import BENCHED, Published
from conformance.bench.model import GIGABYTE, Bench, Row
from conformance.errors import UsageError

COLUMNS = ("scheme", "s a picture", "first, s", "peak GB", "load, s", "disk GB")
PLOTS = (".svg", ".png", ".pdf")
PUBLISHED = ("published s", "published GB")


def cells(bench: Bench) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows; published columns only where somebody published something."""
    published = BENCHED[bench.name].published
    head = [*COLUMNS, *(PUBLISHED if published else ())]
    rows = [
        [*_measured(row), *(_published(published.get(row.scheme), row) if published else ())]
        for row in bench.rows
    ]
    return head, rows


def _measured(row: Row) -> list[str]:
    name = f"{row.scheme}, compiled" if row.compiled else row.scheme
    if row.reason:
        return [name, row.reason, "", "", "", ""]
    times = [f"{row.seconds:.3f}", f"{row.first_seconds:.2f}"]
    sizes = [f"{row.peak_bytes / GIGABYTE:.3f}", f"{row.load_seconds:.2f}"]
    return [name, *times, *sizes, f"{row.disk_bytes / GIGABYTE:.3f}"]


def _published(row: Published | None, beside: Row) -> list[str]:
    if row is None or beside.compiled:
        return ["", ""]
    return [f"{row.seconds:.3f}", f"{row.gigabytes:.3f}"]


def notes(bench: Bench) -> list[str]:
    """Return the lines below the table: what was measured where, and what was not."""
    benched = BENCHED[bench.name]
    versions = bench.versions
    on = ", ".join(f"{n} {versions[n]}" for n in ("torch", "torchao", "diffusers") if n in versions)
    machine = bench.hardware["gpu"] if bench.device == "cuda" else bench.hardware["processor"]
    lines = [
        f"Measured: {benched.title}, random weights, {bench.device}, median of {bench.runs}; "
        f"{machine}; {on}.",
        "The transformer was quantized, saved as a pickle and loaded in a fresh process; "
        "every row has processes of its own.",
    ]
    if benched.published:
        lines.append(f"Published by others, not measured here: {benched.published_on}.")
    if bench.device != "cuda":
        lines.append("CUDA: not run.")
    return lines


def markdown(bench: Bench) -> str:
    """Return the table and its notes as Markdown."""
    head, rows = cells(bench)
    rule = ["---", *(["---:"] * (len(head) - 1))]
    lines = [f"| {' | '.join(each)} |" for each in (head, rule, *rows)]
    return "\n".join([*lines, "", *notes(bench)]) + "\n"


def plottable(path: Path) -> Path:
    """Return the path of a plot; asked before anything is measured.

    Raises:
        UsageError: matplotlib is not installed, or no plot can lie there.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("a plot needs matplotlib; python -m pip install 'matplotlib>=3.8'")
    if path.suffix not in PLOTS or not path.absolute().parent.is_dir():
        known = ", ".join(PLOTS)
        raise UsageError(f"no plot can be {path}; give a {known} in a folder that exists")
    return path


def plot(bench: Bench, path: Path) -> None:
    """Draw seconds a picture and peak memory, a bar a row, as SVG, PNG or PDF.

    Raises:
        UsageError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    rows = [row for row in bench.rows if not row.reason]
    names = [f"{row.scheme}\ncompiled" if row.compiled else row.scheme for row in rows]
    figure = Figure(figsize=(2 + 1.2 * len(rows), 6), layout="constrained")
    seconds, memory = figure.subplots(2, 1)
    _bars(seconds, names, [row.seconds for row in rows], "seconds a picture")
    _bars(memory, names, [row.peak_bytes / GIGABYTE for row in rows], "peak GB")
    published = BENCHED[bench.name].published
    marked = [(n, published[r.scheme]) for n, r in enumerate(rows) if r.scheme in published]
    for axes, value in ((seconds, "seconds"), (memory, "gigabytes")):
        heights = [getattr(each, value) for _, each in marked]
        if marked:
            axes.plot([n for n, _ in marked], heights, "kx", label="published, one H100")
            axes.legend()
    figure.suptitle(f"{BENCHED[bench.name].title} ({bench.device})")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"cannot write the plot to {path}: {error}; give another path") from None


def _bars(axes: Any, names: list[str], heights: list[float], label: str) -> None:
    axes.bar(range(len(names)), heights, tick_label=names)
    axes.set_ylabel(label)
