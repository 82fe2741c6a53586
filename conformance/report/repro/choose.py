"""What the repro of a case is to show: by what was measured, or by what is expected."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from conformance.axes import registry
from conformance.axes.base import Device, Scheme, Size
from conformance.case import Case, all_cases, enumerate_cases, find
from conformance.errors import UsageError
from conformance.judging.exchange_results import ExchangeResults
from conformance.judging.exchanged import as_result
from conformance.judging.expectations import Expectation
from conformance.judging.measured import Measured, Sample
from conformance.judging.results import Results
from conformance.report.catalogue import measurements
from conformance.report.repro.defect import declared, observed
from conformance.report.repro.plan import PINNED, Repro
from conformance.report.repro.recipes import measured
from conformance.roundtrip.outcome import NoResult

NOT_SAID: Mapping[str, str] = {}
DECISIVE = ("torchao", "diffusers")
"""What decides which measurements speak for a version."""
Known = Callable[[Mapping[str, str]], Sequence[Expectation]]
"""Versions -> the expectations that hold for them."""


def example(expectation: Expectation, torchao: str = "") -> Case | None:
    """Return a small case whose repro shows this on a plain CPU, as far as declarations tell.

    Args:
        expectation: what is to be shown.
        torchao: a release; a scheme that it was seen not to have shows nothing there.
    """
    has = measured().get(torchao, registry.schemes())
    cases = [
        each
        for each in _tiny_cases()
        if expectation.about(each.id)
        and quantizes_anywhere(each.scheme)
        and each.scheme.name in has
    ]
    # The blocks of some schemes divide no layer of the other subjects.
    return min(cases, key=lambda each: (each.extra, each.subject.name != "flux-tiny"), default=None)


@cache
def _tiny_cases() -> tuple[Case, ...]:
    """Every case on CPU of a tiny model whose format has lines for a repro."""
    tiny = [each for each in registry.subjects().values() if each.size is Size.TINY]
    return tuple(each for each in enumerate_cases(tiny, [Device.CPU]) if each.format.script)


def quantizes_anywhere(scheme: Scheme) -> bool:
    """Does quantizing need nothing that a plain CPU lacks?"""
    needs = scheme.quantizing
    return Device.CPU in needs.devices and not (needs.packages or needs.capability or needs.probe)


def by_expectation(
    case: Case,
    versions: Mapping[str, str],
    known: Known,
    name: str = "",
    hardware: Mapping[str, str] = NOT_SAID,
) -> Repro:
    """Return what the expectations say of a case under these versions.

    Raises:
        UsageError: `name` is given, and the case has no such expectation.
    """
    found = known(versions)
    said = {each.name: _said(case, versions, each.name) for each in found if each.about(case.id)}
    defect = declared(case.id, found, name, said)
    return Repro(case, versions, defect, machine=machine(hardware))


def _said(case: Case, versions: Mapping[str, str], name: str) -> Sequence[Sample]:
    """Return what was measured under these versions, by cases of this scheme if there are."""
    shipped = measurements()
    environments = {
        label
        for label, each in shipped["environments"].items()
        if all(each.get(package) == versions.get(package) for package in DECISIVE)
    }
    known = Measured.from_json(shipped["expectations"].get(name, {"counts": {}, "samples": []}))
    samples = [each for each in known.samples if each.versions in environments]
    alike = [each for each in samples if _scheme(each.case) is case.scheme]
    return alike or samples


def _scheme(case_id: str) -> Scheme | None:
    case = all_cases().get(case_id)
    return None if case is None else case.scheme


def by_result(case: Case, results: Results, known: Known, name: str = "") -> Repro:
    """Return what a results file says of a case.

    Raises:
        UsageError: the file has no such case, or its result no defect of this name.
    """
    if case.id not in results.cases:
        raise UsageError(f"the results have no case {case.id}; name a file that has, or none")
    result = results.cases[case.id]
    outcome = result.outcome
    versions = {**results.header.versions, **_python(results.header.hardware)}
    return Repro(
        case,
        versions,
        observed(result, known(versions), name),
        storage_only=outcome.storage_only,
        note=_ending(outcome.no_result) or outcome.storage_only,
        machine=machine(results.header.hardware),
    )


def machine(hardware: Mapping[str, str]) -> dict[str, str]:
    """Return what of the hardware an issue names."""
    named = {name: hardware.get(name, "none") for name in ("platform", "processor", "gpu")}
    return {name: value for name, value in named.items() if value != "none"}


def _python(hardware: Mapping[str, str]) -> dict[str, str]:
    return {"python": hardware["python"]} if "python" in hardware else {}


def _ending(ended: NoResult | None) -> str:
    return "" if ended is None else f"the suite has no result: {ended.kind}: {ended.reason}"


def by_cell(cell_id: str, results: ExchangeResults, name: str = "") -> tuple[Repro, Repro]:
    """Return what the results of an exchange say of a cell: the writer's part, and the reader's.

    Raises:
        UsageError: there is no such cell, or it was not measured.
    """
    cell = next((each for each in results.cells if each.id == cell_id), None)
    if cell is None:
        raise UsageError(f"the results have no cell {cell_id}; `conformance matrix` shows them")
    if cell.nothing is not None:
        raise UsageError(f"{cell_id} was not measured: {cell.nothing.reason}; choose another cell")
    header = results.header
    written, read = header.writers[cell.writer], header.readers[cell.reader]
    result = as_result(cell, cell.case)
    shown = Repro(
        find(cell.case),
        read,
        observed(result, (), name),
        storage_only=result.outcome.storage_only,
        note=moved(written, read),
        apart=True,
    )
    return replace(shown, versions=written), shown


def moved(written: Mapping[str, str], read: Mapping[str, str]) -> str:
    """Say with which versions it is written and read, as far as they tell the two apart."""
    names = [name for name in PINNED if written.get(name) != read.get(name)] or ["torchao"]
    ours, theirs = (
        ", ".join(f"{name} {each.get(name, 'none')}" for name in names) for each in (written, read)
    )
    return (
        f"written and read with {ours}"
        if ours == theirs
        else f"written with {ours}, read with {theirs}"
    )
