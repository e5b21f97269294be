"""Local response normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Count, NonNegative, Positive, since
from lnet.compiler.core.kinds import kind_of
from lnet.compiler.core.shapes import Slide

from .position import AtPosition


@since(2)
@dataclass(frozen=True, slots=True)
class LRN(AtPosition):
    """Local response normalisation, `x / (bias + alpha / size * sum x^2)^beta`: the sum runs over the maps from `c - size //
    2` to `c + (size - 1) // 2`, as in PyTorch and Caffe. Krizhevsky et al. 2012 have `bias = 2, alpha = 5e-4`

    Example: lrn(3, alpha = 0.5, bias = 2)
    """

    kind: ClassVar[str] = "lrn"
    size: Count = 5
    alpha: NonNegative = 1e-4
    beta: Positive = 0.75
    bias: Positive = 1.0

    @property
    def slide(self) -> Slide:
        """The window that slides along the maps, no longer than what any map can see."""
        maps = self.reads_sheet.maps
        before, after = min(self.size // 2, maps - 1), min((self.size - 1) // 2, maps - 1)
        return Slide(maps, before + 1 + after, 1, before, after)

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def multiply_adds(self) -> int:
        return self.sheet.values * (1 + self.slide.field)


OPS = (LRN,)
KINDS = {op.kind: kind_of(op) for op in OPS}
