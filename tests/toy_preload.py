"""Stands in for `conformance/roundtrip/preload.py` in `toysuite`: toys need no torch."""

error: BaseException | None = None
