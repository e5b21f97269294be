"""The errors between a layer and a target: squared, mean squared, of the direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads, Refused, TargetNamed, since
from lnet.compiler.core.layer import Layer

from .base import Term


@dataclass(frozen=True, slots=True)
class SquaredError(Term):
    """Sum of squared differences of two layers; both sides carry gradients."""

    kind: ClassVar[str] = "squared_error"
    is_error: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class MeanSquaredError(Term):
    """Mean of squared differences of two layers, over all their `values`; both sides carry gradients."""

    kind: ClassVar[str] = "mean_squared_error"
    is_error: ClassVar[bool] = True
    values: int


@dataclass(frozen=True, slots=True)
class CosineError(Term):
    """One minus the cosine of two layers, each one vector of so many `values`; both sides carry gradients."""

    kind: ClassVar[str] = "cosine_error"
    reads_sums: ClassVar[bool] = True
    values: int


def squared_error(of: Reads, target: TargetNamed) -> SquaredError:
    """Sum of squared differences from `target`: a `target` of the data, or a layer, which is trained, too

    Example: squared_error(of = second, target = first)
    """
    _check_extents(of, target)
    return SquaredError()


@since(2)
def mean_squared_error(of: Reads, target: TargetNamed) -> MeanSquaredError:
    """Mean over all values of the squared difference from `target`, as in `squared_error`

    Example: mean_squared_error(of = second, target = first)
    """
    _check_extents(of, target)
    return MeanSquaredError(of.sheet.values)


@since(2)
def cosine_error(of: Reads, target: TargetNamed) -> CosineError:
    """`1 - x.t / sqrt((x.x + 1e-8) (t.t + 1e-8))`, of the whole value `x` and the whole `target` `t`, which is as in
    `squared_error`

    Example: cosine_error(of = second, target = first)
    """
    _check_extents(of, target)
    return CosineError(of.sheet.values)


def _check_extents(of: Layer, target: Layer) -> None:
    if of.sheet != target.sheet:
        raise Refused(
            "E402",
            f"the extents must agree, but '{of.path}' is {of.sheet} and '{target.path}' is {target.sheet}",
            argument="target",
        )


KINDS = {
    "squared_error": squared_error,
    "mean_squared_error": mean_squared_error,
    "cosine_error": cosine_error,
}
TERMS = (SquaredError, MeanSquaredError, CosineError)
