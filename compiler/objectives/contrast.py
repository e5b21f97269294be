"""The two views of an image against those of all others in the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Positive, Reads, since

from .base import Term, check_vector


@dataclass(frozen=True, slots=True)
class Contrast(Term):
    """Softmax loss of each view's similarities to all others in the batch, against the other view of its image.

    Chen et al., A simple framework for contrastive learning of visual representations, 2020 (NT-Xent).
    """

    kind: ClassVar[str] = "contrast"
    compares_views: ClassVar[bool] = True
    temperature: float

    def intermediate(self, rows: int) -> int:
        """The similarities of all rows."""
        return rows * rows


@since(2)
def contrast(of: Reads, temperature: Positive = 0.1) -> Contrast:
    """NT-Xent of a vector, for two views of each image in a batch (Chen et al. 2020): below

    Example: contrast(of = vector, temperature = 0.5)
    """
    check_vector(of, "contrast", of_classes=False)
    return Contrast(temperature)


KINDS = {"contrast": contrast}
TERMS = (Contrast,)
