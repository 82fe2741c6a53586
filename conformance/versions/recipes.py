"""Ask torchao releases which recipe of every scheme they take, for the repros of any version.

python -m conformance.versions.recipes ENV... > conformance/report/repro/recipes.json
"""

import json
import sys
from collections.abc import Iterable, Mapping

from packaging.version import Version

from conformance.errors import UsageError
from conformance.versions.make import tools
from conformance.versions.parties import parties
from conformance.versions.party import Absent, Lines

Taken = Mapping[str, Mapping[str, str]]
"""Release -> scheme -> recipe."""


def ask(names: Iterable[str]) -> dict[str, Mapping[str, str]]:
    """Return what each environment takes, by its release of torchao.

    Raises:
        UsageError: an environment is not known, or cannot be made.
    """
    found: dict[str, Mapping[str, str]] = {}
    for name, party in parties(names, tools(_tell)).items():
        if isinstance(party, Absent):
            raise UsageError(f"{name}: {party.reason}")
        (found[party.versions["torchao"]],) = Lines(party, ("conformance.axes.taken",))
    return found


def by_scheme(taken: Taken) -> dict[str, dict[str, str]]:
    """Turn it into scheme -> recipe -> releases, oldest first, which people can review."""
    turned: dict[str, dict[str, str]] = {}
    for release in sorted(taken, key=Version):
        for scheme, text in taken[release].items():
            releases = turned.setdefault(scheme, {})
            releases[text] = f"{releases.get(text, '')} {release}".strip()
    return dict(sorted(turned.items()))


def _tell(text: object) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    print(json.dumps(by_scheme(ask(sys.argv[1:])), indent=1))
