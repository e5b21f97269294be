"""Functions of each value alone: layers of their own, and the `act` of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from lnet.compiler.core.arguments import NonNegative, Positive, since
from lnet.compiler.core.kinds import kind_of
from lnet.compiler.core.shapes import line

from .position import AtPosition, enter_act


@dataclass(frozen=True, slots=True)
class Pointwise(AtPosition):
    """A function of each value alone, which is not below zero where the value is not."""

    never_negative: ClassVar[bool] = False

    def nonnegative(self, operands: bool) -> bool:
        return operands or self.never_negative

    def in_line(self) -> Self:
        return replace(self, reads_sheet=line(self.reads_sheet.values))


@dataclass(frozen=True, slots=True)
class ReLU(Pointwise):
    """`max(0, x)`

    Example: relu()
    """

    kind: ClassVar[str] = "relu"
    never_negative: ClassVar[bool] = True


@since(2)
@dataclass(frozen=True, slots=True)
class LeakyReLU(Pointwise):
    """`x` where that is above 0, else `slope * x`

    Example: leaky_relu(slope = 0.1)
    """

    kind: ClassVar[str] = "leaky_relu"
    slope: NonNegative = 0.01


@since(2)
@dataclass(frozen=True, slots=True)
class ELU(Pointwise):
    """`x` where that is above 0, else `alpha * (exp(x) - 1)` (Clevert et al. 2016)

    Example: elu(alpha = 0.5)
    """

    kind: ClassVar[str] = "elu"
    alpha: Positive = 1.0


@since(2)
@dataclass(frozen=True, slots=True)
class GELU(Pointwise):
    """`x * (1 + erf(x / sqrt(2))) / 2` (Hendrycks and Gimpel 2016)

    Example: gelu()
    """

    kind: ClassVar[str] = "gelu"


@since(2)
@dataclass(frozen=True, slots=True)
class SiLU(Pointwise):
    """`x / (1 + exp(-x))`, also known as swish

    Example: silu()
    """

    kind: ClassVar[str] = "silu"


@dataclass(frozen=True, slots=True)
class Tanh(Pointwise):
    """The hyperbolic tangent

    Example: tanh()
    """

    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True, slots=True)
class Sigmoid(Pointwise):
    """`1 / (1 + exp(-x))`

    Example: sigmoid()
    """

    kind: ClassVar[str] = "sigmoid"
    never_negative: ClassVar[bool] = True

    @property
    def probabilities(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class Softplus(Pointwise):
    """`log(1 + exp(x))`

    Example: softplus()
    """

    kind: ClassVar[str] = "softplus"
    never_negative: ClassVar[bool] = True


@since(2)
@dataclass(frozen=True, slots=True)
class Abs(Pointwise):
    """The absolute value

    Example: abs()
    """

    kind: ClassVar[str] = "abs"
    never_negative: ClassVar[bool] = True


OPS = (ReLU, LeakyReLU, ELU, GELU, SiLU, Tanh, Sigmoid, Softplus, Abs)
KINDS = {op.kind: kind_of(op) for op in OPS}
for _op in OPS:
    enter_act(_op)
