"""What the subjects of published dimensions share: which cases they are part of."""

from conformance.axes.base import Family, Size, Subject

INT8 = ("int8wo",)
PLAIN = ("pickle", "safetensors")
SPLIT = ("pickle-sharded", "safetensors-sharded")
"""With the suite's own small shards."""


def shards(gigabytes: int) -> tuple[str, str]:
    """Return the formats with this shard limit, for models that it really splits."""
    return (f"pickle-sharded-{gigabytes}gb", f"safetensors-sharded-{gigabytes}gb")


def full(
    name: str,
    family: Family,
    parameters: int,
    *formats: str,
    schemes: tuple[str, ...] | None = INT8,
    deeper: float = 0.0,
) -> Subject:
    """Return a subject of published dimensions, saved in these formats only."""
    return Subject(
        name, family, Size.FULL, parameters, schemes=schemes, formats=formats, deeper=deeper
    )
