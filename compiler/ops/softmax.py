"""The softmax over the maps of each position: a layer of its own, and the `act` of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import since
from lnet.compiler.core.kinds import kind_of

from .position import AtPosition, enter_act


@since(2)
@dataclass(frozen=True, slots=True)
class Softmax(AtPosition):
    """`exp(x[i,j,m]) / sum_c exp(x[i,j,c])`: over the maps of each position

    Example: softmax()
    """

    kind: ClassVar[str] = "softmax"

    def nonnegative(self, operands: bool) -> bool:
        return True

    @property
    def probabilities(self) -> str:
        return self.kind


OPS = (Softmax,)
KINDS = {op.kind: kind_of(op) for op in OPS}
enter_act(Softmax)
