"""What is wrong with a checkpoint, and what is only worth knowing."""

from dataclasses import dataclass

from conformance._compat import StrEnum


class Kind(StrEnum):
    """What a finding is about, worst first."""

    HOSTILE = "hostile"
    """Loading it plainly would execute something, or reach outside the directory."""
    DAMAGED = "damaged"
    """A file contradicts itself, or cannot be read."""
    MISSING = "missing"
    """Something that is named is not there."""
    DISAGREES = "disagrees"
    """Two files say different things."""
    STALE = "stale"
    """A file that something else left behind."""
    NOTE = "note"
    """Nothing is wrong."""

    @property
    def wrong(self) -> bool:
        """Does it turn the exit code?"""
        return self is not Kind.NOTE


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    kind: Kind
    where: str
    """The file, relative to what is inspected, and the key in it where there is one."""
    what: str
    mend: str = ""
    """What to do about it."""


SHOWN = 3


def some(names: "list[str] | tuple[str, ...]") -> str:
    """Return the first few of many names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
