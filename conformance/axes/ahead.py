"""What formats share that compile or export a model ahead of time."""

SCHEMES = ("float8wo", "int8dq", "int8wo", "intx4")
"""The schemes that they are combined with: one of each kind that has a kernel on CPU."""
