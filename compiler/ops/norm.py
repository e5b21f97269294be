"""Normalisation over whole sheets, over maps, or over a batch: what tiles compute in its place is in totals.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Count, Positive, Reads, Refused, none_or, one_of, since
from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.shapes import Region, Sheet, whole


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
    def of_positions(self) -> bool:
        """Whether every position has its own."""
        return set(self.roles.values()) == {"unit"}

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
    def position_weights(self) -> bool:
        return self.affine.of_positions

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if self.everywhere and region.area else region

    def part(self, region: Region) -> LayerNorm:
        return replace(self, within=region)

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


KINDS = {"layernorm": layernorm}
OPS = (LayerNorm,)
