"""Memory that is free goes back to the system, which counts it as this process's until then."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import jax

M_MMAP_THRESHOLD, LARGE = -3, 2**20
"""glibc's name of its parameter, and the bytes of an array that goes back as soon as it is freed."""


def keep_little() -> None:
    """Let this process keep little that is free, for a command that computes once: training would take longer."""
    gc.freeze()  # what modules hold stays, so looking for garbage need not look at it
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give back what this process's compiled programs take, which are compiled again if need be, and what they have left."""
    jax.clear_caches()  # type: ignore[no-untyped-call]
    gc.collect()
    with suppress(OSError, AttributeError):  # of glibc alone, which keeps free pages for each thread
        ctypes.CDLL(None).malloc_trim(0)
