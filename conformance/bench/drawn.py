"""One row of the benchmark of pipelines, in a process of its own: memory begins at nothing.

    python -m conformance.bench.drawn save SUBJECT SCHEME DEVICE DIRECTORY
    python -m conformance.bench.drawn draw SUBJECT SCHEME DEVICE DIRECTORY RUNS [--compile]

`save` asks for room, quantizes as the published recipe does and writes a pickle; `draw` is the
reader: it loads, hands the model to a pipeline with random weights, and draws. Each prints the
parts that it begins, a line each, and one JSON object last.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.axes import models, pipelines, registry
from conformance.axes.base import Device, Pipeline, Quantized, Scheme, Size, Subject
from conformance.bench.benched import BENCHED, NONE
from conformance.bench.process import PART, Tell, end_with
from conformance.bench.room import require_room
from conformance.bench.stopwatch import stopwatch
from conformance.errors import UnavailableError
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.quiet import quietly

PICKLE = registry.formats()["pickle"]
ROUTE = registry.routes()["quantize_"]
WHOLE_FILE = sys.maxsize


def drawing(subject: Subject) -> models.Draw | None:
    """Return what draws the weights beside a large model; to draw each by itself takes minutes."""
    if subject.size is not Size.FULL:
        return None
    from conformance.roundtrip.pool import Pool

    return Pool(0).draw


def save(
    subject: Subject, scheme: Scheme | None, device: Device, directory: Path, tell: Tell
) -> dict[str, Any]:
    """Build, quantize and save the transformer; tell its bytes."""
    tell("build")
    model = models.build(subject, draw=drawing(subject)).to(str(device))
    if scheme is not None:
        tell("quantize")
        how = Quantized(scheme, scheme.resolve(), directory, None, device)
        model = ROUTE.quantize(model, how)
    tell("save")
    PICKLE.save(model, directory, WHOLE_FILE)
    files = (path for path in directory.rglob("*") if path.is_file())
    return {"disk_bytes": sum(path.stat().st_size for path in files)}


def draw(
    subject: Subject,
    pipeline: Pipeline,
    device: Device,
    directory: Path,
    runs: int,
    tell: Tell,
    *,
    compiled: bool,
) -> dict[str, Any]:
    """Load the transformer, hand it to a pipeline, and draw several times.

    Raises:
        HarnessError: a picture shows nothing.
    """
    watch = stopwatch(device)
    config = models.model_config(subject)

    def load() -> Any:
        return PICKLE.load(subject.family.load_class(), config, directory, device).eval()

    tell("load")
    load_seconds, model = watch.time(load)
    tell("build the other parts")
    whole = pipelines.assemble(pipeline, model, 0, drawing(subject)).to(str(device))
    if compiled:
        whole.transformer.compile()
    watch.reset()

    drawn = []
    for number in range(1 + runs):
        tell(f"picture {1 + number} of {1 + runs}")
        seconds, frames = watch.time(lambda: pipelines.draw(pipeline, whole, 0))
        drawn.append((seconds, spread(frames)))
    return {
        "load_seconds": load_seconds,
        "first_seconds": drawn[0][0],
        "seconds": [seconds for seconds, _ in drawn[1:]],
        "peak_bytes": watch.peak(),
        "spread": min(each for _, each in drawn),
    }


def spread(frames: Any) -> float:
    """Return the standard deviation of a picture.

    Raises:
        HarnessError: it is of one colour or no number, so that its time says nothing.
    """
    from conformance.roundtrip.pictures import FLAT

    found = float(frames.std())
    if not found > FLAT:
        raise HarnessError(
            f"the picture shows nothing: its standard deviation is {found:.3g}, not over {FLAT}"
        )
    return found


def half_of(asked: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """Do the half that was asked for."""
    benched = BENCHED[asked.name]
    subject = registry.subjects()[benched.subject]
    if asked.half == "save":
        scheme = None if asked.scheme == NONE else registry.schemes()[asked.scheme]
        require_room(benched, scheme, asked.device, asked.directory)
        return save(subject, scheme, asked.device, asked.directory, tell)
    where = (asked.device, asked.directory, asked.runs)
    return draw(subject, benched.pipeline, *where, tell, compiled=asked.compile)


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
    parser.add_argument("--parent", type=int, help="end with this process")
    asked = parser.parse_args(arguments)
    if asked.parent is not None:
        end_with(asked.parent)
    # What the libraries say goes nowhere, so ours needs a way of its own.
    with open(os.dup(1), "w", encoding="utf-8", buffering=1) as out:  # noqa: PTH123 - no path
        try:
            with quietly():
                told = half_of(asked, lambda part: print(f"{PART}{part}", file=out))
        except (HarnessError, UnavailableError) as error:
            sys.exit(str(error))
        print(json.dumps(told), file=out)


if __name__ == "__main__":
    main(sys.argv[1:])
