"""The sum of absolute values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads

from .base import Term


@dataclass(frozen=True, slots=True)
class L1(Term):
    """Sum of absolute values."""

    kind: ClassVar[str] = "l1"


def l1(of: Reads) -> L1:
    """Sum of absolute values

    Example: l1(weight = 0.01)
    """
    return L1()


KINDS = {"l1": l1}
TERMS = (L1,)
