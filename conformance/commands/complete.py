"""What a shell is offered: ids of cases, markers, schemes, environments. Imports no torch."""

from typing import Annotated

import typer

WHOLE = 40
"""Ids that are offered whole."""


def case_ids(incomplete: str) -> list[str]:
    """Return the case ids that begin so; of many, what their next segment can be.

    A shell ends a word that has one completion only: then the segment after it is offered, too.
    """
    from conformance.case import all_cases

    ids = [each for each in all_cases() if each.startswith(incomplete)]
    while len(ids) > WHOLE:
        steps = list(dict.fromkeys(_step(each, incomplete) for each in ids))
        if len(steps) > 1:
            return steps
        incomplete = steps[0]
    return ids


def _step(case_id: str, incomplete: str) -> str:
    """Return the id up to the dot behind what is typed."""
    dot = case_id.find(".", len(incomplete))
    return case_id if dot < 0 else case_id[: dot + 1]


def markers(incomplete: str) -> list[str]:
    """Return the markers that begin so."""
    from conformance.selection import described_markers

    return [each for each in described_markers() if each.startswith(incomplete)]


def environments(incomplete: str) -> list[str]:
    """Return the names of `ci/environments.toml` that begin so."""
    from conformance.versions.environments import load_environments

    return [each for each in load_environments(None).named if each.startswith(incomplete)]


def writers(incomplete: str) -> list[str]:
    """Return the environments, and the golden files that stand in the place of one."""
    return [each for each in ("golden", *environments("")) if each.startswith(incomplete)]


Globs = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="GLOB",
        help="Cases whose id matches; repeatable.",
        autocompletion=case_ids,
    ),
]
Markers = Annotated[
    list[str] | None,
    typer.Option(
        "--marker",
        "-m",
        metavar="NAME",
        help="Only cases with this marker; repeatable.",
        autocompletion=markers,
    ),
]
CaseId = Annotated[str, typer.Argument(metavar="CASE", autocompletion=case_ids)]
