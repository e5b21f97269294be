"""The image that a network reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Extent3
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The image."""

    kind: ClassVar[str] = "input"
    image: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.image

    def nonnegative(self, operands: bool) -> bool:
        return operands

    def part(self, region: Region) -> Input:
        return Input(Sheet.over(region, self.image.maps))

    def multiply_adds(self) -> int:
        return 0


def input_image(size: Extent3) -> Input:
    """The image

    Example: input(20x20x3)
    """
    rows, columns, channels = size.parts
    return Input(Sheet(rows, columns, channels))


KINDS = {"input": input_image}
OPS = (Input,)
