"""What an extra subject is combined with: a scheme of each kind that people use, usual formats."""

from conformance.axes.base import Family, Size, Subject

SCHEMES = ("float8wo", "int8dq", "int8wo", "intx4-g32")
FORMATS = (
    "pickle",
    "pickle-sharded",
    "safetensors",
    "safetensors-sharded",
    "state-dict",
    "state-dict-mmap",
    "torchao-safetensors",
)


def tiny(name: str, family: Family, parameters: int) -> Subject:
    """Return a tiny subject whose cases are 56: four schemes, two routes, seven formats."""
    return Subject(name, family, Size.TINY, parameters, SCHEMES, FORMATS)
