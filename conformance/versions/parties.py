"""The environments of `conformance envs` as parties of an exchange."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from conformance.versions.environments import find, load_environments
from conformance.versions.make import Tools, ready_all
from conformance.versions.party import Absent, Party
from conformance.versions.ready import Ready, start_in


def parties(
    names: Iterable[str], using: Tools, file: Path | None = None
) -> dict[str, Party | Absent]:
    """Make the environments that are named, once each; by the name that was given.

    Raises:
        UsageError: one of them is not known.
    """
    known = load_environments(file)
    wanted = {name: find(name, known) for name in names}
    distinct = {each.name: each for each in wanted.values()}
    made: dict[str, Party | Absent] = {}
    for each in ready_all(distinct.values(), using):
        name = each.environment.name
        if isinstance(each, Ready):
            made[name] = party_of(each, name)
        else:
            made[name] = Absent(name, each.reason)
    return {name: made[each.name] for name, each in wanted.items()}


def party_of(ready: Ready, name: str) -> Party:
    """Return an environment that is ready as a party of an exchange."""
    return Party(name, ready.versions, partial(start_in, ready))
