"""The sum of values: made by the pass `expand_rica`, not callable from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from .base import Term


@dataclass(frozen=True, slots=True)
class Total(Term):
    """Sum of values: the sparsity of `rica`, whose pool need not be positive."""

    kind: ClassVar[str] = "total"


KINDS: dict[str, Callable[..., Term]] = {}
TERMS = (Total,)
