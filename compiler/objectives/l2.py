"""The sum of squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.kinds import kind_of

from .base import Term


@dataclass(frozen=True, slots=True)
class L2(Term):
    """Sum of squares

    Example: l2(of = first)
    """

    kind: ClassVar[str] = "l2"


TERMS = (L2,)
KINDS = {term.kind: kind_of(term, of_first=True) for term in TERMS}
