"""The process that reads for `readback`: one checkpoint after another, the way that it is told."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from conformance.case import Case, find
from conformance.roundtrip import worker
from conformance.roundtrip.kept import Way, quantization_of
from conformance.roundtrip.outcome import Outcome, Reader, Stage
from conformance.roundtrip.plain import by_weights

Announce = Callable[[Stage], None]


def reader(connection: Connection, log: str) -> None:
    """Read checkpoints, as `(way, case id, directory)`, until None comes."""
    with worker.at_work(Path(log)):
        if not worker.libraries_import(connection):
            return
        while (request := connection.recv()) is not None:
            way, case_id, directory = request
            imported = set(sys.modules)
            work = partial(_read, Way(way), find(case_id), Path(directory))
            worker.answer(connection, case_id, work, partial(worker.spent, imported))


def _read(way: Way, case: Case, directory: Path, announce: Announce) -> Outcome:
    from conformance.roundtrip.ladder import Ladder
    from conformance.roundtrip.run import Log, kept_in

    if way is Way.WEIGHTS:
        case = replace(case, format=by_weights(case.format))
    log = Log(case, Ladder(Reader.FRESH, announce))
    with kept_in(log):
        if way is Way.CONFIG:
            with log.ladder.stage(Stage.LOAD):
                accept_config(quantization_of(directory) or {})
        else:
            _verify(log, directory)
    return log.outcome()


def _verify(log: Any, directory: Path) -> None:
    from conformance.roundtrip.observe import observe
    from conformance.roundtrip.record import Record
    from conformance.roundtrip.settle import condensed, excused, of_output, settled
    from conformance.roundtrip.verify import read, verify

    record = Record.load(directory)
    log.files = record.file_bytes
    read_back = read(log.case, directory, log.ladder)
    reading = verify(log.case, directory, log.ladder, read_back, record)
    log.storage_only = "" if record.output else "the writer could not call the model"
    if reading.findings:
        judged = record.output is not None and reading.broken is None
        alike = not any(map(of_output, reading.findings)) or _computes_alike(log.case, record)
        findings = [each if alike else excused(each) for each in reading.findings]
        got, judged = observe(read_back.model), judged and alike
        log.findings += condensed(settled(findings, record.facts, got, output_judged=judged))
    if reading.broken is not None:
        raise reading.broken


def _computes_alike(case: Case, record: Any) -> bool:
    """Does the unquantized model give here what it gave the writer?

    Another torch may compute otherwise, and then a difference says nothing about the checkpoint.
    """
    from conformance.roundtrip.verify import reference_output

    here = reference_output(case.subject.name, str(case.device.reader), record.seed)
    return bool(here == record.reference)


def accept_config(quantization: dict[str, Any]) -> None:
    """Let diffusers make of it what it makes before it looks at a weight; it may raise."""
    import torch
    from diffusers.quantizers.auto import DiffusersAutoQuantizer

    quantizer = DiffusersAutoQuantizer.from_config(quantization, pre_quantized=True)
    quantizer.validate_environment(torch_dtype=torch.bfloat16, device_map=None)
