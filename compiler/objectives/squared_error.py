"""The squared error between two layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import LayerNamed, Reads, Refused

from .base import Term


@dataclass(frozen=True, slots=True)
class SquaredError(Term):
    """Sum of squared differences of two layers; both sides carry gradients."""

    kind: ClassVar[str] = "squared_error"
    is_error: ClassVar[bool] = True


def squared_error(of: Reads, target: LayerNamed) -> SquaredError:
    """Sum of squared differences of two layers; both are trained

    Example: squared_error(of = second, target = first)
    """
    if of.sheet != target.sheet:
        raise Refused(
            "E402",
            f"the extents must agree, but '{of.path}' is {of.sheet} and '{target.path}' is {target.sheet}",
            argument="target",
        )
    return SquaredError()


KINDS = {"squared_error": squared_error}
TERMS = (SquaredError,)
