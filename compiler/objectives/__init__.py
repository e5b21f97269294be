"""The objectives, one file each: the terms of the loss (docs/language.md).

An objective is a function that makes a term: its signature is its argument table, with `weight = 1` besides, its docstring
its row in docs/language.md, and an example. A file enters both in its own `KINDS` and `TERMS`; `FILES` below has its name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from .base import Objective, Term
from .custom import PerValue
from .error import SquaredError
from .rica import Rica
from .smooth import Smooth
from .total import Total
from .weighing import Between

FILES = (
    "rica",
    "error",
    "l1",
    "l2",
    "total",
    "smooth",
    "weight_norms",
    "cross_entropy",
    "one_vs_all",
    "contrast",
)
"""The files of objectives, in the order of the reference."""
_FILES = [import_module(f"{__name__}.{name}") for name in FILES]
OBJECTIVE_KINDS: dict[str, Callable[..., Term]] = {
    name: kind for file in _FILES for name, kind in file.KINDS.items()
}
"""What a file can call."""
TERMS: dict[str, type[Term]] = {term.kind: term for file in _FILES for term in file.TERMS}
"""What the runtime has a kernel for."""

__all__ = [
    "OBJECTIVE_KINDS",
    "TERMS",
    "Between",
    "Objective",
    "PerValue",
    "Rica",
    "Smooth",
    "SquaredError",
    "Term",
    "Total",
]
