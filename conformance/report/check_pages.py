"""The documentation of the checks, made from their docstrings."""

import importlib

from conformance.roundtrip.checks import all_checks
from conformance.roundtrip.evidence import Check


def check_pages() -> str:
    """Return one Markdown section a check, in the order of the stages."""
    parts = [
        "# Checks",
        "Generated from the docstrings of `conformance/roundtrip/checks/`. A finding is `altered`"
        " when weights and outputs are equal all the same, and `corrupt` when they need not be.",
    ]
    for check in all_checks():
        parts += [f"## {check.name}", *check_text(check)]
    return "\n\n".join(parts) + "\n"


def check_text(check: Check) -> tuple[str, str]:
    """Return two paragraphs: where the check stands, and what it asks."""
    module = importlib.import_module(check.run.__module__)
    where = f"Stage {check.stage}, {check.side} side, {check.harm}."
    return where, (module.__doc__ or "").strip()


if __name__ == "__main__":
    print(check_pages(), end="")
