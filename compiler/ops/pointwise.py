"""Functions of each value alone: layers, and what `act` names in others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import Reads
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet


@dataclass(frozen=True, slots=True)
class Pointwise(Op):
    """A function of each value alone."""

    kind: ClassVar[str] = "pointwise"
    reads_sheet: Sheet
    function: str  # relu | tanh | sigmoid | softplus

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def part(self, region: Region) -> Pointwise:
        return replace(self, reads_sheet=Sheet.over(region, self.reads_sheet.maps))


def relu(*, of: Reads) -> Pointwise:
    """`max(0, x)`

    Example: relu()
    """
    return Pointwise(of.sheet, "relu")


def tanh(*, of: Reads) -> Pointwise:
    """The hyperbolic tangent

    Example: tanh()
    """
    return Pointwise(of.sheet, "tanh")


def sigmoid(*, of: Reads) -> Pointwise:
    """`1 / (1 + exp(-x))`

    Example: sigmoid()
    """
    return Pointwise(of.sheet, "sigmoid")


def softplus(*, of: Reads) -> Pointwise:
    """`log(1 + exp(x))`

    Example: softplus()
    """
    return Pointwise(of.sheet, "softplus")


KINDS = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid, "softplus": softplus}
OPS = (Pointwise,)
