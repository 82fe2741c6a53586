"""What a keeper writes does not depend on what it wrote before: it resolves every scheme first."""

import random
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from conformance.case import find
from conformance.judging.signature import Cause, cause_of
from conformance.roundtrip import worker
from conformance.roundtrip.keep import keep
from conformance.roundtrip.keeper import keeper
from conformance.roundtrip.outcome import Outcome

pytestmark = pytest.mark.thorough

CASES = [
    find(f"flux-tiny.{name}.cpu")
    for name in (
        "int8wo.quantize_.state-dict",
        "float8dq-opaque.quantize_.torchao-safetensors",
        "nf4.quantize_.safetensors",
        "codebook4.torchao-config.pickle",
        "int8da-uintx4.torchao-config.safetensors",
    )
]
resolve_all = worker.resolve_all


def telling_keeper(connection: Connection, directory: str) -> None:
    """Writes nothing: tells whether resolving every scheme would import anything more."""
    from conformance.roundtrip import run

    def tell(case: object, *_: object) -> Outcome:
        before = set(sys.modules)
        resolve_all()
        return Outcome(str(getattr(case, "id", "")), measures={"more": worker.spent(before)})

    vars(run)["write_only"] = tell
    keeper(connection, directory)


def lazy_keeper(connection: Connection, directory: str) -> None:
    """The same, of a keeper that does not resolve them first."""
    vars(worker)["resolve_all"] = lambda: None
    telling_keeper(connection, directory)


@pytest.mark.parametrize(("target", "more"), [(telling_keeper, 0), (lazy_keeper, 1)])
def test_every_scheme_is_resolved_before_the_first_case(
    tmp_path: Path, target: Callable[..., None], more: int
) -> None:
    (outcome,) = keep(CASES[:1], tmp_path, target=target)
    assert outcome.measures == {"more": more}


def causes(directory: Path, seed: int) -> dict[str, Cause | None]:
    cases = random.Random(seed).sample(CASES, len(CASES))
    return {each.case: cause_of(each) for each in keep(cases, directory)}


def test_the_order_of_the_cases_makes_no_difference(tmp_path: Path) -> None:
    first, second = causes(tmp_path / "1", 1), causes(tmp_path / "2", 2)
    assert list(first) != list(second)
    assert first == second
    assert first[CASES[0].id] is None
    assert len({cause for cause in first.values() if cause}) == 4
