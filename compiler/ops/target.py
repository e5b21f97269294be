"""What the network should give: values that come with the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import TargetExtent, since
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet


@dataclass(frozen=True, slots=True)
class Target(Op):
    """Values of the data, as labels are."""

    kind: ClassVar[str] = "target"
    differentiable: ClassVar[bool] = False
    is_target: ClassVar[bool] = True
    values: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.values

    def part(self, region: Region) -> Target:
        return Target(Sheet.over(region, self.values.maps))

    def multiply_adds(self) -> int:
        return 0


@since(2)
def target(size: TargetExtent) -> Target:
    """The desired output for an image: values from the data, which only the argument `target` of an objective reads. `N` is
    a vector `1x1xN`. In the network's block alone

    Example: target(14x13x2)
    """
    return Target(Sheet(*size.parts))


KINDS = {"target": target}
OPS = (Target,)
