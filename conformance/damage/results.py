"""The results of damage: JSON lines, a header, a line a mutation; what is there stays."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from conformance import __version__
from conformance.damage.fate import Differs, Fate, Result
from conformance.errors import UsageError
from conformance.judging.begun import Begun, Lines, begun, require_same
from conformance.judging.packed import text_of

KIND = "damage"
SCHEMA = 1


@dataclass(frozen=True)
class Header:
    """What is known before anything is read."""

    versions: Mapping[str, str]
    seed: int
    planned: Mapping[str, int]
    """Mutations by case."""
    started: str
    """ISO 8601, UTC."""
    unwritten: Mapping[str, str]
    """Cases of which no checkpoint could be written here, with the reason."""
    suite: str = __version__


@dataclass(frozen=True)
class Damage:
    """A whole file."""

    header: Header
    results: tuple[Result, ...]

    @property
    def complete(self) -> bool:
        """Is every planned mutation there?"""
        return len(self.results) == sum(self.header.planned.values())


class Writer(Lines):
    """Writes each result at once."""

    def __init__(self, path: Path, header: Header, after: Begun | None = None) -> None:
        """Open the file; see `Lines`."""
        super().__init__(path, {"kind": KIND, "schema": SCHEMA, **asdict(header)}, after)

    def write(self, result: Result) -> None:
        """Append a result."""
        self.append(asdict(result))


def read(path: Path) -> Damage:
    """Read a file of results, whole or broken off; compressed when its name ends in `.xz`.

    Raises:
        UsageError: it is missing, or is no such file.
    """
    try:
        return _damage(text_of(path).splitlines())
    except (OSError, *WRONG) as error:
        raise _no_results(path, error) from None


def resumed(path: Path, header: Header) -> tuple[Begun, tuple[Result, ...]]:
    """Return what a run that was broken off left, when this one can go on with it.

    Raises:
        UsageError: there is no such file, or another run began it.
    """
    left = begun(path)
    try:
        then = _damage(left.texts)
    except WRONG as error:
        raise _no_results(path, error) from None
    names = ("suite", "versions", "seed", "planned", "unwritten")
    require_same(
        path, {each: (getattr(then.header, each), getattr(header, each)) for each in names}
    )
    return left, then.results


WRONG = (ValueError, KeyError, TypeError, IndexError, AttributeError)


def _no_results(path: Path, error: Exception) -> UsageError:
    return UsageError(f"{path} holds no results of `conformance damage` ({error}); run it again")


def _damage(lines: Sequence[str]) -> Damage:
    header = json.loads(lines[0])
    if (header.pop("kind"), header.pop("schema")) != (KIND, SCHEMA):
        raise ValueError("it is of another kind or schema")
    return Damage(Header(**header), tuple(_results(lines[1:])))


def _results(lines: Iterable[str]) -> Iterator[Result]:
    for each in lines:
        data = json.loads(each)
        fate = data.pop("fate", None)
        differs = tuple(map(Differs, data.pop("differs", ())))
        yield Result(**data, fate=Fate(fate) if fate else None, differs=differs)
