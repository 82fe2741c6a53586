"""Freed memory goes back to the system at once, in a process that holds most of a machine."""

import ctypes
from contextlib import suppress

MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's mallopt."""
LIMIT = 2**17
"""Bytes from which on an allocation is a mapping of its own; what glibc itself begins with."""


def give_back_at_once() -> bool:
    """Let large allocations be mappings of their own, for the rest of this process.

    glibc raises its threshold to 32 MiB as large blocks are freed, and then keeps the holes that
    short-lived weights leave between those that stay: twice the payload was resident (measured).

    Returns:
        Whether this system's allocator can be told.
    """
    with suppress(OSError, AttributeError, TypeError):  # another system, or another libc
        return bool(ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LIMIT))
    return False
