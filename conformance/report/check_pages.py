"""The documentation of the checks, made from their docstrings."""

import importlib

from conformance.roundtrip.checks import all_checks


def check_pages() -> str:
    """Return one Markdown section a check, in the order of the stages."""
    parts = [
        "# Checks",
        "Generated from the docstrings of `conformance/roundtrip/checks/`. A finding is `altered`"
        " when weights and outputs are equal all the same, and `corrupt` when they need not be.",
    ]
    for check in all_checks():
        module = importlib.import_module(check.run.__module__)
        parts.append(f"## {check.name}")
        parts.append(f"Stage {check.stage}, {check.side} side, {check.harm}.")
        parts.append((module.__doc__ or "").strip())
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(check_pages(), end="")
