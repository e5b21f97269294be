"""Pointwise functions: layers of their own, and the `act` of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Reads, none_or, one_of
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet, line


@dataclass(frozen=True, slots=True)
class Pointwise(Op):
    """A function of each value alone, which is not below zero where the value is not."""

    kind: ClassVar[str] = "pointwise"
    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet
    function: str  # a kind below

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def nonnegative(self, operands: bool) -> bool:
        return operands or self.function in NEVER_NEGATIVE

    def part(self, region: Region) -> Pointwise:
        return replace(self, reads_sheet=Sheet.over(region, self.reads_sheet.maps))

    def in_line(self) -> Pointwise:
        return replace(self, reads_sheet=line(self.reads_sheet.values))


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
NEVER_NEGATIVE = frozenset({"relu", "sigmoid", "softplus"})
"""Functions whose values are never below zero."""
Activation = Annotated[str | None, none_or(one_of(*KINDS))]
"""The pointwise function at the end of another op: `act = relu`."""
