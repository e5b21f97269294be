"""Normalisation over whole sheets, over maps, or over a batch: what tiles compute in its place is in totals.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import (
    Count,
    Flag,
    Fraction,
    Positive,
    Reads,
    Refused,
    none_or,
    one_of,
    since,
)
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Interval, Region, Sheet, line, whole


@dataclass(frozen=True, slots=True)
class Affine:
    """A factor and a summand after a normalisation: `unit`, of each value of the sheet; `map`, of each map; or none."""

    scale: str | None
    shift: str | None

    @property
    def roles(self) -> dict[str, str]:
        """What each array that there is belongs to."""
        found = {"scale": self.scale, "shift": self.shift}
        return {role: of for role, of in found.items() if of is not None}

    @property
    def position_roles(self) -> frozenset[str]:
        """The arrays of which every position has its own."""
        return frozenset(role for role, of in self.roles.items() if of == "unit")

    def weights(self, sheet: Sheet) -> dict[str, Weights]:
        shapes = {"unit": (sheet.height, sheet.width, sheet.maps), "map": (sheet.maps,)}
        axes = {"unit": ("row", "column", "map"), "map": ("map",)}
        fill = {"scale": 1.0, "shift": 0.0}
        return {role: Weights(shapes[of], axes[of], None, fill=fill[role]) for role, of in self.roles.items()}


@dataclass(frozen=True, slots=True)
class LayerNorm(Op):
    """`(x - mean) / sqrt(variance + eps)` of an image, over groups of maps, at all positions or at each alone."""

    kind: ClassVar[str] = "layernorm"
    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet  # the whole sheet
    within: Region  # the positions with values
    everywhere: bool  # over all positions
    groups: int
    eps: float
    affine: Affine

    @property
    def sheet(self) -> Sheet:
        return Sheet.over(self.within, self.reads_sheet.maps)

    def weights(self) -> dict[str, Weights]:
        return self.affine.weights(self.reads_sheet)

    @property
    def position_roles(self) -> frozenset[str]:
        return self.affine.position_roles

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if self.everywhere and region.area else region

    def part(self, region: Region) -> LayerNorm:
        return replace(self, within=region)

    def multiply_adds(self) -> int:
        """Those of the mean, of the variance, and of the values."""
        return 3 * self.sheet.values


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """`(x - mean) / sqrt(variance + eps)` of each map over batch and positions; in evaluation with running values."""

    kind: ClassVar[str] = "batchnorm"
    keeps_patch: ClassVar[bool] = True
    has_mode: ClassVar[bool] = True
    reads_sheet: Sheet  # the whole sheet
    within: Region  # the positions with values, or the maps of a vector in a line
    of_line: bool
    momentum: float
    eps: float
    affine: Affine

    @property
    def sheet(self) -> Sheet:
        return (
            line(self.within.rows.length) if self.of_line else Sheet.over(self.within, self.reads_sheet.maps)
        )

    @property
    def maps(self) -> Interval:
        """The maps of its values."""
        return self.within.rows if self.of_line else Interval(0, self.reads_sheet.maps)

    def weights(self) -> dict[str, Weights]:
        return {**self.running("mean"), **self.affine.weights(self.reads_sheet), **self.running("variance")}

    def running(self, role: str) -> dict[str, Weights]:
        """Return one of the running values, which no gradient moves."""
        fill = {"mean": 0.0, "variance": 1.0}[role]
        shape = (self.reads_sheet.maps,)
        return {role: Weights(shape, ("map",), None, speed=0.0, fill=fill, momentum=self.momentum)}

    def part(self, region: Region) -> BatchNorm:
        return replace(self, within=region)

    def in_line(self) -> BatchNorm:
        return replace(self, within=whole(line(self.reads_sheet.maps).size), of_line=True)

    def multiply_adds(self) -> int:
        """Those of the mean, of the variance, and of the values."""
        return 3 * self.sheet.values


Across = Annotated[str, one_of("all", "maps")]
Each = Annotated[str | None, none_or(one_of("unit", "map"))]


@since(2)
def layernorm(
    across: Across = "all",
    groups: Count = 1,
    eps: Positive = 1e-5,
    scale: Each = "unit",
    shift: Each = "unit",
    *,
    of: Reads,
) -> LayerNorm:
    """`scale * (x - mean) / sqrt(variance + eps) + shift`: below

    Example: layernorm(across = maps, scale = none)
    """
    sheet = of.sheet
    if sheet.maps % groups:
        raise Refused(
            "E405",
            f"{groups} groups do not divide the {sheet.maps} maps of '{of.path}'",
            argument="groups",
            hints=(f"take a divisor of {sheet.maps}, such as {_nearest(groups, sheet.maps)}",),
        )
    affine = Affine(scale, shift) if across == "all" else Affine(scale and "map", shift and "map")
    return LayerNorm(sheet, whole(sheet.size), across == "all", groups, eps, affine)


def _nearest(number: int, of: int) -> int:
    """Return the divisor that is nearest to a number."""
    return min((n for n in range(1, of + 1) if of % n == 0), key=lambda n: abs(n - number))


@since(2)
def batchnorm(
    momentum: Fraction = 0.99,
    eps: Positive = 1e-3,
    scale: Flag = True,
    shift: Flag = True,
    *,
    of: Reads,
) -> BatchNorm:
    """`scale * (x - mean) / sqrt(variance + eps) + shift` of each map: below

    Example: batchnorm(momentum = 0.9)
    """
    affine = Affine("map" if scale else None, "map" if shift else None)
    return BatchNorm(of.sheet, whole(of.sheet.size), False, momentum, eps, affine)


KINDS = {"layernorm": layernorm, "batchnorm": batchnorm}
OPS = (LayerNorm, BatchNorm)
