"""What the parts of a large case may take of memory."""

import pytest

from conformance.case import find
from conformance.roundtrip.checks.memory import over, run
from conformance.roundtrip.evidence import Difference, Evidence
from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.record import Record

GB = 10**9
MEASURES = {"payload_bytes": 10.0 * GB, "save.seconds": 20.0, "save.peak_bytes": 25.0 * GB}
MOST = 1.08 * 10 * GB + 0.6 * GB


@pytest.mark.parametrize(
    ("part", "taken", "found"),
    [
        ("save.anonymous_bytes", MOST, []),
        ("save.mapped_bytes", 2 * MOST, []),
        (
            "save.anonymous_bytes",
            MOST + 0.1 * GB,
            [Difference("save", "memory is over the bound", "11.40 GB", "11.50 GB")],
        ),
    ],
)
def test_what_was_allocated_is_judged(part: str, taken: float, found: list[Difference]) -> None:
    assert list(over({**MEASURES, part: taken}, 10 * GB)) == found


def test_every_part_but_our_own_is_judged() -> None:
    parts = ("build", "save", "load", "floors")
    measures = {f"{part}.anonymous_bytes": 2.0 * MOST for part in parts}
    found = [each.path for each in over({**MEASURES, **measures}, 10 * GB)]
    assert found == ["build", "save", "load"]


@pytest.mark.parametrize(
    ("case", "parts"),
    [
        ("cogvideox-2b.mixed.quantize_.pickle.cpu", []),
        ("cogvideox-2b.mixed.torchao-config.pickle.cpu", ["quantize"]),
        ("flux-dev.int8wo.quantize_.pickle.cpu", ["quantize"]),
        ("flux-dev.int8wo.quantize_.pickle.cuda", []),
    ],
)
def test_what_must_be_filled_first_or_is_on_a_gpu_is_not_asked(case: str, parts: list[str]) -> None:
    record = Record(case, 0, ModelFacts({}, ()), None, {}, 10 * GB, {}, None, None)
    measures = {"quantize.anonymous_bytes": 2 * MOST}
    found = run(Evidence(find(case), record, measures=measures))
    assert [each.path for each in found] == parts
