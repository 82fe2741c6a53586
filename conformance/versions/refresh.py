"""Propose environments for newer releases, as a diff of the file that names them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import Requirement
from packaging.version import Version

from conformance.versions.environments import Environment
from conformance.versions.uv import Uv, UvError

FOLLOWED = ("torchao", "diffusers", "torch")
MOST = 100
"""Releases of one package that are asked for; more would be a mistake."""


def newer(package: str, version: str, uv: Uv, until: str = "") -> list[str]:
    """Return the releases of a package after this version, oldest first; looks at the index.

    With `until` the last of them is that version, if the index has it.

    Raises:
        UvError: the index cannot be reached, or must not be.
    """
    if uv.variables.get("UV_OFFLINE", "0") not in ("", "0", "false"):
        raise UvError("UV_OFFLINE is set; unset it to look at the index")
    found: list[str] = []
    limit = f",<={until}" if until else ""
    while len(found) < MOST:
        try:
            text = uv.run(
                *("pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate"),
                *(*uv.index_arguments, "-"),
                stdin=f"{package}>{version}{limit}",
            )
        except UvError as error:
            if "No solution found" not in str(error):
                raise
            return found
        release = Version(text.strip().rpartition("==")[2]).public
        found.insert(0, release)
        limit = f",<{release}"
    return found


def newest_pins(environments: Iterable[Environment]) -> dict[str, str]:
    """Return the newest version that is pinned of each package."""
    pins: dict[str, str] = {}
    for environment in environments:
        for package, version in _pins(environment).items():
            if package not in pins or Version(version) > Version(pins[package]):
                pins[package] = version
    return pins


def _pins(environment: Environment) -> dict[str, str]:
    return {
        parsed.name: specifier.version
        for parsed in map(Requirement, environment.requirements)
        for specifier in parsed.specifier
        if specifier.operator == "=="
    }


def proposals(
    named: Mapping[str, Environment], releases: Mapping[str, Iterable[str]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield name and requirements of an environment per new release, one package moved in each.

    What is moved is the newest environment: the one that pins the newest of every package.
    """
    newest = max(named.values(), key=_age)
    for package, versions in releases.items():
        for version in versions:
            moved = {**_pins(newest), package: version}
            name = f"torchao{moved['torchao']}"
            if package != "torchao":
                name += f"-{package}{version}"
            yield name, tuple(f"{each}=={moved[each]}" for each in moved)


def _age(environment: Environment) -> list[Version]:
    pins = _pins(environment)
    return [Version(pins.get(package, "0")) for package in FOLLOWED]


def proposed_diff(text: str, file: str, proposed: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """Return the unified diff that puts the proposals before the first environment of a file."""
    blocks = [_block(name, requirements) for name, requirements in proposed]
    head, mark, rest = text.partition("[[environment]]\n")
    after = head + "".join(blocks) + mark + rest
    old, new = (each.splitlines(keepends=True) for each in (text, after))
    return "".join(difflib.unified_diff(old, new, f"a/{file}", f"b/{file}"))


def _block(name: str, requirements: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{each}"' for each in requirements)
    return f'[[environment]]\nname = "{name}"\nrequirements = [{listed}]\n\n'
