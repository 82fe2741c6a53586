"""Times by the floors of the same run."""

import pytest

from conformance.roundtrip.ratios import reading_ratios, writing_ratios


def test_ratios_are_times_by_floors() -> None:
    measured = {
        "bf16_bytes": 200.0,
        "payload_bytes": 110.0,
        "file_bytes": 120.0,
        "floor.write": 60.0,
        "floor.copy": 100.0,
        "floor.quantize": 50.0,
        "quantize.seconds": 8.0,
        "quantize.weights": 100.0,
        "digest.seconds": 2.2,
        "save.seconds": 3.0,
        "inspect.seconds": 2.0,
    }
    ratios = {"quantize.ratio": 2.0, "digest.ratio": 2.0, "save.ratio": 1.5, "inspect.ratio": 2.0}
    assert writing_ratios(measured, 120.0) == pytest.approx({"floor.inspect": 120.0, **ratios})
    del measured["floor.quantize"]
    assert "quantize.ratio" not in writing_ratios(measured, 120.0)


def test_loading_and_digesting_are_one_ratio() -> None:
    measured = {"load.seconds": 1.0, "bits.seconds": 2.0}
    assert reading_ratios(measured, 50.0, 100) == {"floor.reread": 50.0, "load.ratio": 1.5}
