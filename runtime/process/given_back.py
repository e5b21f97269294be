"""Free memory is given back to the system by a command that computes once.

A program that calls lnet keeps its compiled programs, and goes on as fast as before.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import jax

M_MMAP_THRESHOLD, LARGE = -3, 2**20
"""glibc's name of its parameter, and the bytes of an array that goes back as soon as it is freed."""


_computes_once = False


def keep_little() -> None:
    """From now on let this process keep little memory that is free: training would take longer."""
    global _computes_once
    _computes_once = True
    gc.freeze()  # what modules hold stays, so looking for garbage need not look at it
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give back the memory of compiled programs, and what they have left, if this process is to keep little."""
    if not _computes_once:
        return
    jax.clear_caches()  # type: ignore[no-untyped-call]
    gc.collect()
    with suppress(OSError, AttributeError):  # of glibc alone, which keeps free pages for each thread
        ctypes.CDLL(None).malloc_trim(0)
