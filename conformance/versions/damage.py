"""`conformance damage` in other environments: each damages what it wrote itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.damage.results import Damage, read
from conformance.errors import UsageError
from conformance.versions.environments import Environment
from conformance.versions.make import Tools, ready
from conformance.versions.ready import NotReady, run_in


@dataclass(frozen=True)
class Absent:
    """An environment that gave no results, and why."""

    name: str
    reason: str


def damaged_in(
    environment: Environment, using: Tools, arguments: Sequence[str], results: Path
) -> Damage | Absent:
    """Run it there with these arguments, and read the results that it leaves."""
    there = ready(environment, using)
    if isinstance(there, NotReady):
        return Absent(environment.name, there.reason)
    place = ["--results", str(results.absolute())]
    ended = run_in(there, ["-m", "conformance.cli", "damage", *arguments, *place])
    try:
        return read(results)
    except UsageError:
        said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        return Absent(environment.name, said[-1])


def results_of(results: Path, environment: Environment) -> Path:
    """Return where the results of an environment go: beside those that were named."""
    name = environment.name.replace("/", "-").replace(" ", "-")
    return results.with_name(f"{results.stem}-{name}{results.suffix}")
