"""Sums over the weights of layers, not over values: once a step, whatever the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import ContentsRead, Refused, since
from lnet.compiler.core.layer import Layer

from .base import Term


class WeightNorm(Term):
    """A sum over all weights of the layers that it reads; biases are no weights."""

    __slots__ = ()
    reads_weights: ClassVar[bool] = True
    shrinks: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class WeightL2(WeightNorm):
    """Sum of squares of weights."""

    kind: ClassVar[str] = "weight_l2"


@dataclass(frozen=True, slots=True)
class WeightL1(WeightNorm):
    """Sum of absolute values of weights."""

    kind: ClassVar[str] = "weight_l1"


NAME_OTHERS = (
    "name layers with weights, 'of = [V1.filter, V2.filter]', a family of them, or a stage instance, whose layers "
    "without weights do not count"
)


@since(2)
def weight_l2(of: ContentsRead) -> WeightL2:
    """Sum of squares of the weights, not biases, of a layer, of a list of layers or of all layers of a stage: once a step,
    each weight once

    Example: weight_l2([first, second], weight = 0.0005)
    """
    _check(of)
    return WeightL2()


@since(2)
def weight_l1(of: ContentsRead) -> WeightL1:
    """Sum of absolute values of the weights, as `weight_l2`

    Example: weight_l1(of = second)
    """
    _check(of)
    return WeightL1()


def _check(of: Sequence[Layer]) -> None:
    if not of:
        raise Refused("E505", "no layer there has weights", argument="of", hints=(NAME_OTHERS,))
    for layer in of:
        if not layer.has_weights:
            raise Refused(
                "E505",
                f"'{layer.path}' has no weights",
                argument="of",
                notes=(f"'{layer.path}' is made by '{layer.op.kind}'",),
                hints=(NAME_OTHERS,),
            )


KINDS = {"weight_l2": weight_l2, "weight_l1": weight_l1}
TERMS = (WeightL2, WeightL1)
