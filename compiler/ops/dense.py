"""A dense layer: every unit reads the whole sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Flag, MapCount, Reads
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Region, Sheet, Size, whole

from .pointwise import NEVER_NEGATIVE, Activation


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """Every unit reads the whole sheet."""

    kind: ClassVar[str] = "dense"
    reads_sheet: Sheet
    units: int
    bias: bool
    act: str | None
    patch: Size | None = None

    @property
    def sheet(self) -> Sheet:
        return Sheet(1, 1, self.units)

    def weights(self) -> dict[str, Weights]:
        inputs = self.reads_sheet.values
        weights = {"weight": Weights((inputs, self.units), ("input", "unit"), inputs)}
        if self.bias:
            weights["bias"] = Weights((self.units,), ("unit",), None)
        return weights

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return self.patch

    def nonnegative(self, operands: bool) -> bool:
        return self.act in NEVER_NEGATIVE

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if region.area else region

    def part(self, region: Region) -> Dense:
        return self

    def multiply_adds(self) -> int:
        return self.reads_sheet.values * self.units


def dense(units: MapCount, bias: Flag = True, act: Activation = None, *, of: Reads) -> Dense:
    """Every unit reads the whole sheet, then `act`; with `dense(50x50)` the units lie in a patch

    Example: dense(10, act = tanh)
    """
    return Dense(of.sheet, units.count, bias, act, units.patch)


KINDS = {"dense": dense}
OPS = (Dense,)
