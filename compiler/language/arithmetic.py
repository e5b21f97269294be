"""Arithmetic on numbers and sizes: size with size or number, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lnet.compiler.core.values import Extents, Value

LIMIT = 2**63


class Unfit(Exception):
    """An operation without a result in the language."""


def elementwise(operator: str, left: Any, right: Any) -> Value:
    """Apply an operator to two numbers or sizes; raises `Unfit` and `ZeroDivisionError`."""
    if not isinstance(left, Extents) and not isinstance(right, Extents):
        return _checked(_ARITHMETIC[operator](left, right))
    count = len((left if isinstance(left, Extents) else right).parts)
    lefts = left.parts if isinstance(left, Extents) else (left,) * count
    rights = right.parts if isinstance(right, Extents) else (right,) * count
    if len(lefts) != len(rights):
        raise Unfit(f"the sizes {left} and {right} have different numbers of extents")
    parts = [_ARITHMETIC[operator](a, b) for a, b in zip(lefts, rights, strict=True)]
    for part in parts:
        if not 0 <= part < LIMIT or part != math.floor(part):
            raise Unfit(
                f"a size consists of non-negative integers, and {left} {operator} {right} gives {part:g}"
            )
    return Extents(tuple(int(part) for part in parts))


def _checked(number: int | float) -> int | float:
    if not -LIMIT < number < LIMIT:
        raise Unfit("the number is out of range: a value stays below 2^63")
    return number


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
}
