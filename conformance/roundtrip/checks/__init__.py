"""The checks, one module each, found by looking into this package."""

import importlib
import pkgutil
from functools import cache

from conformance.roundtrip.evidence import Check, Evidence, Side
from conformance.roundtrip.outcome import Finding, Stage


@cache
def all_checks() -> tuple[Check, ...]:
    """Every check in the order of the stages, then of the names.

    Raises:
        ValueError: two modules declare the same name.
    """
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    checks = [importlib.import_module(f"{__name__}.{name}").CHECK for name in names]
    if len({check.name for check in checks}) != len(checks):
        raise ValueError("a check is declared twice")
    return tuple(sorted(checks, key=lambda each: (list(Stage).index(each.stage), each.name)))


def check_names() -> frozenset[str]:
    """The names that an expectation may speak of."""
    return frozenset(check.name for check in all_checks())


def ask(evidence: Evidence, side: Side) -> list[Finding]:
    """Ask every check of one side that means something for the format."""
    return [
        finding
        for check in all_checks()
        if check.side is side and check.name not in evidence.case.format.not_asked
        for finding in check.findings(evidence)
    ]
