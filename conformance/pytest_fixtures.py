"""Fixtures for anybody's tests: a model, quantized, written, and read back.

Each test that asks for one of them is run once for every case that is selected (`--select`,
markers), and no more often than the fixture can tell apart: `transformer` once per subject and
device, `quantized` once per scheme and route on top, `checkpoint` and `reloaded` once per case.

    def test_my_kernel_accepts_it(reloaded):
        assert my_kernel(reloaded)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conformance.case import Case


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, beside the record of what must come back."""

    case: Case
    directory: Path
    """Holds `record.json`, for small models `oracle.safetensors`, and `checkpoint/`."""
    record: Any
    """A `conformance.roundtrip.record.Record`."""

    @property
    def path(self) -> Path:
        """The directory that a loader is given."""
        return self.directory / "checkpoint"


@pytest.fixture(scope="session")
def case(request: pytest.FixtureRequest) -> Case:
    """The case at hand; give it to `pytest.mark.conformance` to choose others."""
    chosen: Case = request.param
    return chosen


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Models built and quantized once, kept until another is asked for."""
    from conformance.roundtrip.workshop import Workshop

    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield shop
    shop.release()


@pytest.fixture
def transformer(case: Case, workshop: Any) -> Any:
    """The unquantized bf16 model. Shared: do not change it."""
    with _ladder(case) as ladder:
        return workshop.base(case, ladder).model


@pytest.fixture
def quantized(case: Case, workshop: Any) -> Any:
    """The model quantized by the case's scheme and route. Shared: do not change it."""
    with _ladder(case) as ladder:
        return workshop.product(case, ladder).model


@pytest.fixture
def checkpoint(case: Case, workshop: Any, tmp_path: Path) -> Checkpoint:
    """The quantized model saved in the case's format, with its record."""
    from conformance.roundtrip.write import write

    with _ladder(case) as ladder:
        return Checkpoint(case, tmp_path, write(case, workshop, tmp_path, ladder).record)


@pytest.fixture
def reloaded(checkpoint: Checkpoint) -> Any:
    """The model that a reader gets from `checkpoint`; your own to change."""
    from conformance.roundtrip.verify import read

    with _ladder(checkpoint.case) as ladder:
        return read(checkpoint.case, checkpoint.directory, ladder).model


@contextmanager
def _ladder(case: Case) -> Iterator[Any]:
    """Skip a case that cannot be measured here; let the libraries' own errors through."""
    from conformance.roundtrip.ladder import BrokenError, Ladder, NoResultError
    from conformance.roundtrip.outcome import NoResultKind, Reader

    try:
        yield Ladder(Reader.SAME)
    except NoResultError as error:
        if error.no_result.kind is NoResultKind.SKIPPED:
            pytest.skip(f"{case.id}: {error}")
        pytest.fail(f"{case.id}: {error.no_result.kind}: {error}", pytrace=False)
    except BrokenError as error:
        raise error.__cause__ or error from None
