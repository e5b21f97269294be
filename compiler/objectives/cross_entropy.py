"""The softmax loss against the image's label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads

from .base import Term, check_scores, check_vector


@dataclass(frozen=True, slots=True)
class CrossEntropy(Term):
    """Softmax loss against the image's label."""

    kind: ClassVar[str] = "cross_entropy"
    needs_labels: ClassVar[bool] = True


def cross_entropy(of: Reads) -> CrossEntropy:
    """Softmax loss of a vector (the values before the softmax) against the image's label

    Example: cross_entropy(of = vector)
    """
    check_vector(of, "cross_entropy")
    check_scores(of, "cross_entropy", "softmax")
    return CrossEntropy()


KINDS = {"cross_entropy": cross_entropy}
TERMS = (CrossEntropy,)
