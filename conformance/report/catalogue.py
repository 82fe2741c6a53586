"""The catalogue of known defects as the suite ships it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from conformance.case import all_ids
from conformance.judging.defects import (
    Defect,
    Group,
    Workaround,
    catalogue,
    load_groups,
    load_workarounds,
    names_of,
)
from conformance.judging.expectations import Expectation, load_expectations, packaged
from conformance.judging.findings import Shown, load_findings
from conformance.judging.measured import Measured
from conformance.roundtrip.checks import check_names
from conformance.versions.shipped import shipped

GOLDEN = "fixtures/golden/expected.toml"
DATA = files("conformance.judging")
MEASURED = "measured.json"


@cache
def expectations() -> tuple[Expectation, ...]:
    """Return what is declared, of round trips and then of golden files."""
    checks = check_names()
    own = load_expectations(packaged(), checks, all_ids())
    return (*own, *load_expectations([shipped(GOLDEN)], checks, None))


@cache
def findings() -> tuple[Shown, ...]:
    """Return what no case shows."""
    return load_findings(DATA / "findings.toml")


@cache
def declared() -> tuple[Expectation, ...]:
    """Return what is declared of cases, and then what no case shows."""
    return (*expectations(), *(each.expectation for each in findings()))


@cache
def groups() -> tuple[Group, ...]:
    """Return which expectations are one defect."""
    return load_groups(DATA / "defects.toml", [each.name for each in declared()])


@cache
def workarounds() -> tuple[Workaround, ...]:
    """Return what was measured to help."""
    names = names_of(declared(), groups())
    return load_workarounds(DATA / "workarounds.toml", names, all_ids())


@cache
def measurements() -> dict[str, Any]:
    """Return what `conformance.report.measured` took from results."""
    data: dict[str, Any] = json.loads((DATA / MEASURED).read_text(encoding="utf-8"))
    return data


@cache
def defects() -> tuple[Defect, ...]:
    """Return every entry of the catalogue, in the order of the expectations.

    Raises:
        UsageError: one of the files is wrong.
    """
    known = measurements()["expectations"]
    measured = {name: Measured.from_json(each) for name, each in known.items()}
    measured |= {each.expectation.name: each.measured for each in findings()}
    return catalogue(declared(), groups(), workarounds(), measured)
