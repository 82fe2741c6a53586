"""Conformance suite: does a quantized checkpoint still come back as what was saved?"""

__version__ = "0.1.0"
