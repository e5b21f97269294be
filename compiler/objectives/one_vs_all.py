"""Independent logistic losses against the image's label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads

from .base import Term, check_scores, check_vector


@dataclass(frozen=True, slots=True)
class OneVsAll(Term):
    """Sum of independent logistic losses against the image's label."""

    kind: ClassVar[str] = "one_vs_all"
    needs_labels: ClassVar[bool] = True


def one_vs_all(of: Reads) -> OneVsAll:
    """Sum of independent logistic losses of a vector (the values before the sigmoid) against the image's label

    Example: one_vs_all(of = vector)
    """
    check_vector(of, "one_vs_all")
    check_scores(of, "one_vs_all", "softmax", "sigmoid")
    return OneVsAll()


KINDS = {"one_vs_all": one_vs_all}
TERMS = (OneVsAll,)
