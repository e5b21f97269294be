"""The sum of absolute values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.kinds import kind_of

from .base import Term


@dataclass(frozen=True, slots=True)
class L1(Term):
    """Sum of absolute values

    Example: l1(weight = 0.01)
    """

    kind: ClassVar[str] = "l1"


TERMS = (L1,)
KINDS = {term.kind: kind_of(term, of_first=True) for term in TERMS}
