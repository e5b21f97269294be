"""How many programs this process has compiled itself: by XLA, but for those that came from the cache, and by LLVM."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from jax import monitoring

BUILT = "/jax/core/compile/backend_compile_duration"
"""JAX's event for a program that is there, compiled or from the cache."""
FOUND = "/jax/compilation_cache/cache_hits"
"""JAX's event for one from the cache, before that."""
OBJECT = "object"

_counts: Counter[str] = Counter()


@cache
def count_compilations() -> None:
    """Begin to count, once in a process."""
    monitoring.register_event_listener(_count)
    monitoring.register_event_duration_secs_listener(_count)


def compilations() -> int:
    """Return how many programs were compiled since `count_compilations`."""
    return max(0, _counts[BUILT] - _counts[FOUND]) + _counts[OBJECT]


def compiled_object() -> None:
    """Count a program that LLVM has compiled."""
    _counts[OBJECT] += 1


def _count(event: str, *seconds: float, **details: Any) -> None:
    _counts[event] += 1
