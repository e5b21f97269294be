"""Objectives that a plug-in writes as a function of each value of a layer.

The fields of a class that derives from it are the arguments of its kind, and its docstring is their reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .base import Term


@dataclass(frozen=True)
class PerValue(Term):
    """The sum of a function of every value of a layer."""

    def value(self, x: Any) -> Any:
        """Return an array of the shape of `x`, `[row, column, map, image]`: it is summed, a mean over images."""
        raise AssertionError(f"{type(self).__name__} has no 'value'")
