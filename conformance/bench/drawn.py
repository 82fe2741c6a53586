"""One row of the benchmark of pipelines, in a process of its own: memory begins at nothing.

    python -m conformance.bench.drawn save SUBJECT SCHEME DEVICE DIRECTORY
    python -m conformance.bench.drawn draw SUBJECT SCHEME DEVICE DIRECTORY RUNS [--compile]

`save` quantizes as the published recipe does and writes a pickle; `draw` is the reader: it loads,
hands the model to a pipeline with random weights, and draws. Each prints one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Device, Pipeline, Quantized, Scheme, Subject
from conformance.bench.benched import BENCHED, NONE
from conformance.bench.stopwatch import stopwatch
from conformance.roundtrip.quiet import quietly

PICKLE = registry.formats()["pickle"]
ROUTE = registry.routes()["quantize_"]
WHOLE_FILE = sys.maxsize


def save(
    subject: Subject, scheme: Scheme | None, device: Device, directory: Path
) -> dict[str, Any]:
    """Build, quantize and save the transformer; tell its bytes."""
    model = models.build(subject).to(str(device))
    if scheme is not None:
        how = Quantized(scheme, scheme.resolve(), directory, None, device)
        model = ROUTE.quantize(model, how)
    PICKLE.save(model, directory, WHOLE_FILE)
    files = (path for path in directory.rglob("*") if path.is_file())
    return {"disk_bytes": sum(path.stat().st_size for path in files)}


def draw(
    subject: Subject,
    pipeline: Pipeline,
    device: Device,
    directory: Path,
    runs: int,
    *,
    compiled: bool,
) -> dict[str, Any]:
    """Load the transformer, hand it to a pipeline, and draw several times."""
    watch = stopwatch(device)
    config = models.model_config(subject)

    def load() -> Any:
        return PICKLE.load(subject.family.load_class(), config, directory, device).eval()

    load_seconds, model = watch.time(load)
    whole = pipelines.assemble(pipeline, model, 0).to(str(device))
    if compiled:
        whole.transformer.compile()
    watch.reset()

    def picture() -> Any:
        return pipelines.draw(pipeline, whole, 0)

    first, frames = watch.time(picture)
    times = [watch.time(picture)[0] for _ in range(runs)]
    return {
        "load_seconds": load_seconds,
        "first_seconds": first,
        "seconds": times,
        "peak_bytes": watch.peak(),
        "frames": list(frames.shape),
        "spread": float(frames.std()),
    }


def main(arguments: Sequence[str]) -> None:
    """Do one half of a row and print it."""
    parser = argparse.ArgumentParser(prog="conformance.bench.drawn")
    parser.add_argument("half", choices=("save", "draw"))
    parser.add_argument("name", choices=sorted(BENCHED))
    parser.add_argument("scheme")
    parser.add_argument("device", type=Device)
    parser.add_argument("directory", type=Path)
    parser.add_argument("runs", type=int, nargs="?", default=1)
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args(arguments)
    benched = BENCHED[asked.name]
    subject = registry.subjects()[benched.subject]
    scheme = None if asked.scheme == NONE else registry.schemes()[asked.scheme]
    half: Callable[[], dict[str, Any]] = (
        (lambda: save(subject, scheme, asked.device, asked.directory))
        if asked.half == "save"
        else lambda: draw(
            subject,
            benched.pipeline,
            asked.device,
            asked.directory,
            asked.runs,
            compiled=asked.compile,
        )
    )
    start = time.perf_counter()
    with quietly():
        told = half()
    print(json.dumps({**told, "whole_seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(sys.argv[1:])
