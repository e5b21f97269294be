"""The sum of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads

from .base import Term


@dataclass(frozen=True, slots=True)
class L2(Term):
    """Sum of squares."""

    kind: ClassVar[str] = "l2"


def l2(of: Reads) -> L2:
    """Sum of squares

    Example: l2(of = first)
    """
    return L2()


KINDS = {"l2": l2}
TERMS = (L2,)
