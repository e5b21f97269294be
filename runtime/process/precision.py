"""The type of numbers that a network is computed in: what JAX takes `float` for, in the thread that computes.

    float32    JAX's own choice
    float64    within `jax.enable_x64`; elsewhere JAX rounds such arrays to float32

A process may compute networks of both types, at once in several threads, and none changes another's numbers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import jax


def has_float16() -> bool:
    """Whether the device that computes is one that float16 is for."""
    return jax.default_backend() == "gpu"


def computing_in(dtype: str) -> AbstractContextManager[object]:
    """Compute with numbers of a type, `Training.dtype`, in this thread."""
    return jax.enable_x64(True) if dtype == "float64" else nullcontext()
