"""Our usage errors, as pytest tells them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.errors import UsageError


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn our usage errors into pytest's: one line, exit code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
