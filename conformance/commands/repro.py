"""`conformance repro`."""
