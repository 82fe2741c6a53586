"""Data that an installed wheel carries inside the package and a checkout keeps beside it."""

from pathlib import Path

from conformance.errors import UsageError

PACKAGE = Path(__file__).parents[1]
SHIPPED = (
    "ci/environments.toml",
    "fixtures/golden/expected.toml",
    "fixtures/models",
    "fixtures/pipelines",
)
"""What `pyproject.toml` force-includes, under the same path inside the package."""


def shipped(name: str) -> Path:
    """Return the path of shipped data.

    Raises:
        UsageError: it is neither in the package nor beside it.
    """
    for root in (PACKAGE, PACKAGE.parent):
        if (path := root / name).exists():
            return path
    raise UsageError(f"{name} is missing; reinstall the package")
