"""A dense layer: every unit reads the whole sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from lnet.compiler.core.arguments import Flag, MapCount, NonNegative, OptionalNonNegative, Reads
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.learned import NORMAL, USUAL, Learned
from lnet.compiler.core.shapes import Region, Sheet, Size, whole

from .learning import Initial, learned
from .position import Activation, AtPosition, over


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """Every unit reads the whole sheet."""

    kind: ClassVar[str] = "dense"
    reads_sheet: Sheet
    units: int
    bias: bool
    act: AtPosition | None
    patch: Size | None = None
    learned: Learned = USUAL

    @property
    def sheet(self) -> Sheet:
        return Sheet(1, 1, self.units)

    def weights(self) -> dict[str, Weights]:
        inputs = self.reads_sheet.values
        how = self.learned
        shape, axes = (inputs, self.units), ("input", "unit")
        weights = {"weight": Weights(shape, axes, inputs, self.units, how.init, how.speed)}
        if self.bias:
            weights["bias"] = Weights((self.units,), ("unit",), None, speed=how.bias_speed)
        return weights

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return self.patch

    @property
    def applies(self) -> tuple[Op, ...]:
        return () if self.act is None else (self.act,)

    @property
    def linear(self) -> Dense:
        return replace(self, bias=False, act=None)

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if region.area else region

    def part(self, region: Region) -> Dense:
        return self

    def multiply_adds(self) -> int:
        return self.reads_sheet.values * self.units


def dense(
    units: MapCount,
    bias: Flag = True,
    act: Activation = None,
    *,
    init: Initial = NORMAL,
    speed: NonNegative = 1.0,
    bias_speed: OptionalNonNegative = None,
    of: Reads,
) -> Dense:
    """Every unit reads the whole sheet, then `act`; with `dense(50x50)` the units lie in a patch

    Example: dense(10, act = tanh)
    """
    made, how = over(act, Sheet(1, 1, units.count)), learned(init, speed, bias, bias_speed)
    return Dense(of.sheet, units.count, bias, made, units.patch, how)


KINDS = {"dense": dense}
OPS = (Dense,)
